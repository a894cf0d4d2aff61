"""Files of the demo besides Python: the machine's script, the server image's sources, the bookshop, its cookbooks.

They exist once, in the project's own folders. A wheel contains copies of them (`hatch_build.py`) in the same layout.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGED = Path(__file__).with_name("files")
_CHECKOUT = Path(__file__).parents[3]

ROOT = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
"""The folder that contains `docker/`, `include/` and `dags/`: in the installed package, or of the checkout."""

SETUP_MACHINE = ROOT / "docker" / "setup-machine.sh"
"""Prepares a Debian 12 machine: packages, Docker Engine, server images."""

BOOKSHOP = (Path("include/bookshop"), Path("include/chef"), Path("dags/bookshop.py"))
"""The example, relative both to `ROOT` and to a project."""
