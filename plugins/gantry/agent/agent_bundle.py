"""The agent's scripts as shipped to servers."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.resources

_MODES = {"bin": 0o750, "lib": 0o640}


@dataclasses.dataclass(frozen=True)
class ScriptFile:
    """A file of the agent.

    Attributes:
        path: Relative to `/enstratus`, for example `bin/job`.
        mode: Permission bits; the owner is root.
        sha256: Digest of `content`, in hexadecimal.
        content: The bytes to write.
    """

    path: str
    mode: int
    sha256: str
    content: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True)
class ScriptBundle:
    """All files of the agent, sorted by path."""

    files: tuple[ScriptFile, ...]

    @functools.cached_property
    def version(self) -> str:
        """A hash over every path, mode and content: equal versions mean equal agents."""
        lines = "".join(f"{file.path} {file.mode:o} {file.sha256}\n" for file in self.files)
        return hashlib.sha256(lines.encode()).hexdigest()


@functools.cache
def bundle() -> ScriptBundle:
    """Read the scripts in the package, once per process."""
    scripts = importlib.resources.files("gantry.agent") / "scripts"
    files = []
    for folder, mode in _MODES.items():
        for entry in (scripts / folder).iterdir():
            content = entry.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            files.append(ScriptFile(f"{folder}/{entry.name}", mode, digest, content))
    return ScriptBundle(tuple(sorted(files, key=lambda file: file.path)))
