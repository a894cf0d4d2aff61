"""Service archives as people make them, with real tar and packers, and with entries that no honest archiver writes."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from .server import CUSTOMER, REQUIRED, SERVICE, Result, Server

SCRIPTS = {f"bin/{name}": "#!/bin/sh\n" for name in REQUIRED}
PACKERS = {
    "tar.gz": "gzip", "tgz": "gzip", "tar.bz2": "bzip2", "tbz2": "bzip2", "tar.xz": "xz", "txz": "xz",
    "tar.zst": "zstd", "tzst": "zstd", "tar": "",
}  # fmt: skip
"""The program that packs a tar, by the end of its name; empty: none does."""
Odd = Callable[[tarfile.TarFile], None]


def tar(path: Path, files: Mapping[str, str], odd: Odd | None = None, mode: int = 0o644) -> Path:
    """A tar archive of the kind that the name says, with entries that no honest archiver would write."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            content = text.encode()
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
        if odd:
            odd(archive)
    packer = next(packer for end, packer in PACKERS.items() if path.name.lower().endswith(f".{end}"))
    path.write_bytes(packed(plain.getvalue(), packer))
    return path


def packed(content: bytes, packer: str) -> bytes:
    """What a real packer makes of it."""
    if not packer:
        return content
    return subprocess.run([packer, "-c"], input=content, capture_output=True, check=True).stdout


def zipped(path: Path, files: Mapping[str, str], system: int = 3, mode: int | None = None) -> Path:
    """A zip as a system writes it: 3 is Unix, 0 Windows, whose entries have no modes."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            # Python itself, on Unix, makes slashes of no backslash.
            entry.filename = name
            entry.create_system = system
            # What stands there without a mode: Windows' mark of a file that was not backed up.
            entry.external_attr = 0x20 if mode is None else mode << 16
            archive.writestr(entry, text)
    return path


def entry(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> Odd:
    def add(archive: tarfile.TarFile) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.mode = kind, target, mode
        archive.addfile(info, io.BytesIO())

    return add


def both(*adds: Odd) -> Odd:
    def add(archive: tarfile.TarFile) -> None:
        for each in adds:
            each(archive)

    return add


def within(folder: str, files: Mapping[str, str]) -> dict[str, str]:
    """The files, in a folder."""
    return {f"{folder}/{name}": text for name, text in files.items()}


def install(server: Server, archive: Path, **environment: str) -> Result:
    return server.call("installService", SERVICE, CUSTOMER, "u1", archive, **environment)


def everything(server: Server) -> list[str]:
    """What can be seen in the folder of the services."""
    folder = server.path("mnt/services")
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


def installed(server: Server, names: Iterable[str]) -> dict[str, str]:
    """What stands in files of the service."""
    return {name: server.service(name).read_text() for name in names}
