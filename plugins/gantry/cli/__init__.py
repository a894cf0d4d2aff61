"""The `gantry` command line interface, for people and pipelines."""

from __future__ import annotations


def main() -> None:
    """Run the command line; end the process with the command's exit code."""
    # Imported here: importing this package for one of its parts must not load typer.
    from gantry.cli import app  # noqa: PLC0415

    app.main()
