"""Output formats of commands."""
