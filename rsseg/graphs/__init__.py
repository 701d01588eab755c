"""Networks as graphs that other runtimes run."""
