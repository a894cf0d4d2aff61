"""Connection types of Gantry's own."""
