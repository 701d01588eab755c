"""Networks as graphs that other programs can run."""
