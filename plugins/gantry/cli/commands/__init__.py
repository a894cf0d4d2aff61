"""One module per command of `gantry`."""
