"""Draws the rooms of `plugins/gantry` from their imports, into `docs/architecture.md`.

usage: python docs/generate_rooms.py [--check]

With --check nothing is written; exit code 1 says that the drawing is not what the imports say.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "plugins" / "gantry"
PAGE = Path(__file__).with_name("architecture.md")
BEGIN = "<!-- Made from the imports by docs/generate_rooms.py; a test holds the two together. -->\n"
END = "<!-- The end of what is made from the imports. -->\n"


def rooms() -> dict[str, set[str]]:
    """Each room, and those that its modules import, at whatever place in them."""
    found = {each.name for each in PACKAGE.iterdir() if (each / "__init__.py").is_file()}
    return {
        room: {name for path in (PACKAGE / room).rglob("*.py") for name in _imported(path)} & found - {room}
        for room in sorted(found)
    }


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.ImportFrom) and node.module:
            top, *rest = node.module.split(".")
            if top == "gantry":
                yield from rest[:1] or (alias.name for alias in node.names)


def direct(needs: dict[str, set[str]]) -> dict[str, set[str]]:
    """Without the arrows that follow from others: a drawing of all of them shows nothing."""

    def reached(room: str) -> set[str]:
        return {room}.union(*(reached(each) for each in needs[room]))

    return {
        room: {each for each in below if not any(each in reached(other) for other in below - {each})}
        for room, below in needs.items()
    }


def drawing() -> str:
    """The drawing, as Mermaid, between the two marks."""
    arrows = [f"  {room} --> {each}" for room, below in direct(rooms()).items() for each in sorted(below)]
    return "\n".join([f"{BEGIN}\n```mermaid", "flowchart TD", *arrows, f"```\n\n{END}"])


def page() -> str:
    """The page with the drawing as the imports are now."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return f"{before}{drawing()}{rest.partition(END)[2]}"


def main() -> int:
    """Write the page, or say whether it is current."""
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text() == page() else 1
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
