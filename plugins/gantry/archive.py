"""Service archives: packs a folder as the `.tar.gz` that `installService` extracts on a server.

The same folder gives the same bytes, so an unchanged archive has the same checksum and is neither uploaded nor
installed again. (The bytes also depend on the zlib version used for packing.)
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import hashlib
import io
import os
import posixpath
import stat
import sys
import tarfile
import tempfile
from pathlib import Path

from gantry.errors import GantryError

REQUIRED_SCRIPTS = ("bin/enstratus-configure", "bin/enstratus-start", "bin/enstratus-stop")
SUFFIXES = (".tar.gz", ".tgz")
"""Possible suffixes of an archive's name; servers infer the format from it."""

_SCRIPT_MODE = 0o750
_PROGRAM_MODE = 0o755
_PLAIN_MODE = 0o644
_FOLDER_MODE = 0o755
# Files that Python writes where it runs; they differ from run to run.
_IGNORED_FOLDERS = frozenset({"__pycache__"})
_IGNORED_SUFFIXES = frozenset({".pyc", ".pyo"})


class ArchiveError(GantryError):
    """A folder cannot be packed as a service archive."""

    def __init__(self, source: Path, problem: str) -> None:
        self.source = source
        super().__init__(f"{source}: {problem}")


class SourceMissingError(ArchiveError):
    """The folder of a service does not exist."""

    def __init__(self, source: Path) -> None:
        super().__init__(source, "there is no such folder. Name the folder that holds the service's bin/")


class ScriptMissingError(ArchiveError):
    """Scripts that every service must have are missing."""

    def __init__(self, source: Path, scripts: tuple[str, ...]) -> None:
        self.scripts = scripts
        wanted = ", ".join(REQUIRED_SCRIPTS)
        super().__init__(source, f"{', '.join(scripts)} missing. A service needs {wanted}; add them as files")


class ScriptUnusableError(ArchiveError):
    """A script in `bin/` would not start on a server."""

    def __init__(self, source: Path, script: str, reason: str) -> None:
        self.script = script
        super().__init__(source, f"{script} {reason}")


class UnsafeLinkError(ArchiveError):
    """A link leads out of the folder, or to a missing target."""

    def __init__(self, source: Path, link: str, goal: str) -> None:
        self.link, self.goal = link, goal
        super().__init__(
            source,
            f"the link {link} leads to {goal}, which is not in this folder. "
            "Replace it by the file itself, or by a relative link within the folder",
        )


class UnknownFileKindError(ArchiveError):
    """A path is neither a file, a folder nor a link."""

    def __init__(self, source: Path, name: str) -> None:
        self.name = name
        super().__init__(source, f"{name} is neither a file, a folder nor a link. Remove it")


class TargetInsideSourceError(ArchiveError):
    """The archive's target is inside the folder to pack."""

    def __init__(self, source: Path, target: Path) -> None:
        self.target = target
        super().__init__(
            source, f"the archive {target} would lie in the folder that it packs. Write it elsewhere"
        )


class SourceDateError(GantryError):
    """`SOURCE_DATE_EPOCH` is not a number of seconds."""

    def __init__(self, value: str) -> None:
        self.value = value
        super().__init__(
            f"the environment variable SOURCE_DATE_EPOCH is {value!r}. "
            "Set a number of seconds since 1970, or none"
        )


@dataclasses.dataclass(frozen=True)
class BuiltArchive:
    """A written archive: `size` in bytes, `files` as the sorted names in it, without folders."""

    path: Path
    sha256: str
    size: int
    files: tuple[str, ...]


def build_archive(source: Path, target: Path) -> BuiltArchive:
    """Pack the folder of a service.

    Files in `bin/` get mode 0750, others 0644 (0755 if the owner may execute them), all owned by root; times are
    `SOURCE_DATE_EPOCH` or 1970. An existing target is replaced when the new archive is complete.

    Raises:
        ArchiveError: The folder is not a service, or contains something that must not be in an archive.
        SourceDateError: `SOURCE_DATE_EPOCH` is not usable.
        OSError: A file cannot be read, or the target cannot be written.
    """
    if not source.is_dir():
        raise SourceMissingError(source)
    root = source.resolve()
    if target.resolve().is_relative_to(root):
        raise TargetInsideSourceError(source, target)
    paths = _walk(root)
    names = {path.relative_to(root).as_posix(): path for path in paths}
    _check_scripts(source, names)
    members = [_member(source, root, path, name) for name, path in sorted(names.items())]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
        try:
            _write(file, members, names)
            Path(file.name).chmod(_PLAIN_MODE)
            Path(file.name).replace(target)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    content = target.read_bytes()
    files = tuple(member.name for member in members if not member.isdir())
    return BuiltArchive(target, hashlib.sha256(content).hexdigest(), len(content), files)


def _walk(folder: Path) -> list[Path]:
    found: list[Path] = []
    for path in folder.iterdir():
        if path.name in _IGNORED_FOLDERS or path.suffix in _IGNORED_SUFFIXES:
            continue
        found.append(path)
        if path.is_dir() and not path.is_symlink():
            found.extend(_walk(path))
    return found


def _check_scripts(source: Path, names: dict[str, Path]) -> None:
    missing = tuple(
        script for script in REQUIRED_SCRIPTS if script not in names or not names[script].is_file()
    )
    if missing:
        raise ScriptMissingError(source, missing)
    for script in REQUIRED_SCRIPTS:
        first = names[script].read_bytes().split(b"\n", 1)[0]
        if not first.startswith(b"#!"):
            raise ScriptUnusableError(source, script, "has no first line such as #!/bin/sh. Add one")
        if first.endswith(b"\r"):
            raise ScriptUnusableError(source, script, "has Windows line ends. Save it with Unix ones")


def _member(source: Path, root: Path, path: Path, name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.mtime = _source_date()
    member.uname = member.gname = "root"
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        _check_link(source, root, path, member)
    elif stat.S_ISDIR(status.st_mode):
        member.type, member.mode = tarfile.DIRTYPE, _FOLDER_MODE
    elif stat.S_ISREG(status.st_mode):
        member.size = status.st_size
        member.mode = _mode(name, status.st_mode)
    else:
        raise UnknownFileKindError(source, name)
    return member


def _check_link(source: Path, root: Path, path: Path, member: tarfile.TarInfo) -> None:
    # Checked literally too: `../services/db/x` leads back to this folder here, but not on a server.
    goal = posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname))
    leaves = goal == ".." or goal.startswith(("/", "../"))
    try:
        inside = path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):  # the link is broken, or points to itself
        inside = False
    if leaves or not inside:
        raise UnsafeLinkError(source, member.name, member.linkname)


def _mode(name: str, mode: int) -> int:
    if name.startswith("bin/"):
        return _SCRIPT_MODE
    return _PROGRAM_MODE if mode & stat.S_IXUSR else _PLAIN_MODE


def _source_date() -> int:
    value = os.environ.get("SOURCE_DATE_EPOCH", "").strip() or "0"
    if not (value.isascii() and value.isdecimal()):
        raise SourceDateError(value)
    return int(value)


def _write(
    file: io.IOBase | tempfile._TemporaryFileWrapper[bytes],
    members: list[tarfile.TarInfo],
    names: dict[str, Path],
) -> None:
    # Neither name nor time in gzip's header: both would differ from build to build.
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for member in members:
            if member.isreg():
                with names[member.name].open("rb") as content:
                    tar.addfile(member, content)
            else:
                tar.addfile(member)


def main(arguments: list[str] | None = None) -> int:
    """Build one archive from the command line. Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gantry.archive", description="Packs a service's folder.")
    parser.add_argument("source", type=Path, help="the folder that holds bin/")
    parser.add_argument("target", type=Path, help="the archive to write, such as appService.tar.gz")
    parsed = parser.parse_args(arguments)
    try:
        built = build_archive(parsed.source, parsed.target)
    except GantryError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{built.sha256}  {built.path} ({len(built.files)} files, {built.size} bytes)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
