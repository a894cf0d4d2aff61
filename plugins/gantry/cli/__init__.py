"""The `gantry` command: what a person types, and what a pipeline calls."""

from __future__ import annotations


def main() -> None:
    """Run the command line; ends the process with the command's exit code."""
    # Inside: who imports this package for one of its parts need not have typer loaded.
    from gantry.cli import app  # noqa: PLC0415

    app.main()
