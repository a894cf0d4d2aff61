"""`python -m gantry`: the command line, if its script is not on the path."""

from __future__ import annotations

from gantry import cli

if __name__ == "__main__":
    cli.main()
