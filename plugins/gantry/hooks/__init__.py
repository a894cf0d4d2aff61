"""Hooks of Gantry's own connection types."""
