"""Labelled imagery to samples: data sets, what is drawn from them, and the synthetic scene."""
