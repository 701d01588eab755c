"""Networks: torch only, no files, no terminal. `registry.build_network` makes them by name."""
