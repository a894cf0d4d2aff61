"""Uploader of a Chef repository to a Chef server: cookbooks, roles and environments, over the signed API.

A small uploader for the demo, the tests, and repositories of the same simplicity: `roles/*.json`,
`environments/*.json`, and `cookbooks/NAME` with a `metadata.json`. Everything is checked before anything is sent. The
files of a cookbook are selected as by `knife`: files that begin with a dot are included, top-level folders that do so
are not, and neither are those listed in a `chefignore`.
"""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import hashlib
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from gantry import errors
from gantry.configuration_management import chef_server

SEGMENTS = (
    "attributes",
    "definitions",
    "files",
    "libraries",
    "providers",
    "recipes",
    "resources",
    "templates",
)
_BY_PLATFORM = ("files", "templates")
"""Segments whose files may be in a folder named after the servers that they are for."""

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_VERSION = re.compile(r"[0-9]+\.[0-9]+(\.[0-9]+)?")
_METADATA = "metadata.json"
_IGNORE = "chefignore"
_OF_BERKSHELF = ".uploaded-cookbook-version.json"
_NOT_FOUND = 404


class RepositoryError(errors.GantryError):
    """A Chef repository cannot be uploaded. `place` is a path, with line and column if known."""

    def __init__(self, place: object, problem: str) -> None:
        self.place = str(place)
        super().__init__(f"{place}: {problem}")


@dataclasses.dataclass(frozen=True)
class Cookbook:
    """One version of a cookbook: its metadata, its files by path, and the excluded paths."""

    name: str
    version: str
    metadata: Mapping[str, Any]
    files: Mapping[str, bytes] = dataclasses.field(repr=False)
    ignored: tuple[str, ...] = ()

    def manifest(self) -> dict[str, Any]:
        """Return its manifest for the server."""
        segments: dict[str, list[dict[str, str]]] = {segment: [] for segment in (*SEGMENTS, "root_files")}
        for path, content in sorted(self.files.items()):
            first, _, rest = path.partition("/")
            segment = first if rest and first in SEGMENTS else "root_files"
            folder, _, name = rest.partition("/")
            has_folder = segment in _BY_PLATFORM and bool(name)
            segments[segment].append(
                {
                    "name": (name if has_folder else rest) or path,
                    "path": path,
                    "checksum": checksum(content),
                    "specificity": folder if has_folder else "default",
                }
            )
        return {
            "name": f"{self.name}-{self.version}",
            "cookbook_name": self.name,
            "version": self.version,
            "chef_type": "cookbook_version",
            "json_class": "Chef::CookbookVersion",
            "frozen?": False,
            "metadata": {**_DEFAULTS, **self.metadata},
            **segments,
        }


_DEFAULTS: dict[str, Any] = {
    "description": "",
    "long_description": "",
    "maintainer": "",
    "maintainer_email": "",
    "license": "All Rights Reserved",
    "platforms": {},
    "dependencies": {},
    "providing": {},
    "attributes": {},
    "recipes": {},
}


@dataclasses.dataclass(frozen=True)
class Repository:
    """The contents of a repository; roles and environments as the JSON that they are written in."""

    cookbooks: tuple[Cookbook, ...]
    roles: Mapping[str, Any]
    environments: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class UploadSummary:
    """The result of an upload. Files whose content the server already had were not sent.

    `ignored` are the paths excluded by a `chefignore`, as `COOKBOOK/PATH`.
    """

    cookbooks: tuple[str, ...]
    roles: tuple[str, ...]
    environments: tuple[str, ...]
    files_sent: int
    ignored: tuple[str, ...] = ()


def read(folder: pathlib.Path) -> Repository:
    """Read a repository and check it.

    Raises:
        RepositoryError: something in it is wrong, or is not supported by this uploader.
    """
    if not folder.is_dir():
        raise RepositoryError(folder, "there is no such folder")
    for more in ("data_bags", "nodes", "policies"):
        if any(folder.glob(f"{more}/*")):
            raise RepositoryError(folder / more, "not uploaded by this: use `knife upload`, or move it away")
    found = Repository(
        tuple(
            _cookbook(each)
            for each in sorted(folder.glob("cookbooks/*"))
            if not each.name.startswith(".") and each.name != _IGNORE
        ),
        dict(_objects(folder / "roles", "role")),
        dict(_objects(folder / "environments", "environment")),
    )
    if not (found.cookbooks or found.roles or found.environments):
        raise RepositoryError(folder, "no Chef repository: it holds no cookbooks, roles or environments")
    return found


def upload(folder: pathlib.Path, server: chef_server.ChefServer) -> UploadSummary:
    """Upload a repository, replacing objects of the same name (and version).

    Raises:
        RepositoryError: nothing was sent.
        ChefServerError and its subclasses: the server rejected it; calling again continues.
    """
    repository = read(folder)
    sent = _send_files(server, repository.cookbooks)
    for cookbook in repository.cookbooks:
        server.put(f"/cookbooks/{cookbook.name}/{cookbook.version}", cookbook.manifest())
    for kind, objects in (("environments", repository.environments), ("roles", repository.roles)):
        for name, content in objects.items():
            _replace(server, f"/{kind}", name, content)
    return UploadSummary(
        tuple(f"{each.name} {each.version}" for each in repository.cookbooks),
        tuple(repository.roles),
        tuple(repository.environments),
        sent,
        tuple(f"{each.name}/{path}" for each in repository.cookbooks for path in each.ignored),
    )


def checksum(content: bytes) -> str:
    """Return the checksum by which a Chef server identifies a file's content."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _send_files(server: chef_server.ChefServer, cookbooks: tuple[Cookbook, ...]) -> int:
    contents = {checksum(content): content for cookbook in cookbooks for content in cookbook.files.values()}
    if not contents:
        return 0
    sandbox = server.post("/sandboxes", {"checksums": dict.fromkeys(contents)})
    wanted = {each: place for each, place in sandbox["checksums"].items() if place["needs_upload"]}
    for each, place in wanted.items():
        server.put_file(place["url"], contents[each])
    server.put(f"/sandboxes/{sandbox['sandbox_id']}", {"is_completed": True})
    return len(wanted)


def _replace(server: chef_server.ChefServer, kind: str, name: str, content: Any) -> None:  # noqa: ANN401 - JSON
    try:
        server.put(f"{kind}/{name}", content)
    except chef_server.ChefServerError as error:
        if error.status != _NOT_FOUND:
            raise
        server.post(kind, content)


def _cookbook(folder: pathlib.Path) -> Cookbook:
    metadata_file = folder / _METADATA
    if not metadata_file.is_file():
        also = " (metadata.rb alone needs Chef's own tools: `knife cookbook metadata` makes the JSON of it)"
        raise RepositoryError(folder, f"no {_METADATA}{also if (folder / 'metadata.rb').exists() else ''}")
    metadata = _json(metadata_file)
    name, version = metadata.get("name"), metadata.get("version")
    if name != folder.name or not _NAME.fullmatch(str(name)):
        raise RepositoryError(metadata_file, f"the name is {name!r}, and the folder's is {folder.name!r}")
    if not _VERSION.fullmatch(str(version)):
        raise RepositoryError(metadata_file, f"the version {version!r} is not of the form 1.2.3")
    patterns = _ignore_patterns(folder)
    files: dict[str, bytes] = {}
    ignored = []
    for path in _files(folder):
        place = path.relative_to(folder).as_posix()
        if any(_matches(place, each) for each in patterns):
            ignored.append(place)
        else:
            files[place] = path.read_bytes()
    if _METADATA not in files:
        raise RepositoryError(folder, f"its {_IGNORE} names {_METADATA}, which the Chef server needs")
    return Cookbook(str(name), str(version), metadata, files, tuple(ignored))


def _files(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yield a cookbook's files as `knife` selects them."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder).parts
        in_a_hidden_folder = len(inner) > 1 and inner[0].startswith(".")
        if path.is_file() and not in_a_hidden_folder and path.name != _OF_BERKSHELF:
            yield path


def _ignore_patterns(folder: pathlib.Path) -> list[str]:
    """Return the patterns of the nearest `chefignore`: the cookbook's, or one of the folders above it."""
    absolute = folder.resolve()
    for each in (absolute, *absolute.parents):
        file = each / _IGNORE
        if file.is_file():
            lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
            return [line for line in lines if line and not line.startswith("#")]
    return []


def _matches(place: str, pattern: str) -> bool:
    """Match as Ruby's `File.fnmatch`: a star matches slashes, but not a leading dot."""
    if place.startswith(".") and not pattern.startswith("."):
        return False
    return fnmatch.fnmatchcase(place, pattern.replace("[^", "[!"))


def _objects(folder: pathlib.Path, kind: str) -> Iterator[tuple[str, Any]]:
    for path in sorted(folder.glob("*")):
        if path.suffix == ".rb":
            raise RepositoryError(
                path, f"a {kind} is written as JSON here (`knife {kind} show NAME -F json`)"
            )
        if path.suffix != ".json":
            continue
        content = _json(path)
        name = content.get("name")
        if name != path.stem or not _NAME.fullmatch(str(name)):
            raise RepositoryError(path, f"the name is {name!r}, and the file's is {path.stem!r}")
        yield path.stem, {"chef_type": kind, "json_class": f"Chef::{kind.title()}", **content}


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise RepositoryError(f"{path}:{error.lineno}:{error.colno}", f"not JSON: {error.msg}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RepositoryError(path, f"cannot be read: {error}") from None
    if not isinstance(content, dict):
        raise RepositoryError(path, "an object ({…}) belongs here")
    return content


def main(arguments: list[str] | None = None) -> int:
    """Run `python -m gantry.local.cloud.chef_repository FOLDER --url … --user … --key FILE`."""
    parser = argparse.ArgumentParser(description="Uploads a Chef repository to a Chef server.")
    parser.add_argument("folder", type=pathlib.Path, help="with cookbooks/, roles/, environments/")
    parser.add_argument(
        "--url", required=True, help="of the Chef server, with /organizations/NAME if it has any"
    )
    parser.add_argument("--user", required=True, help="client or user that may upload")
    parser.add_argument("--key", type=pathlib.Path, required=True, help="file with its private key")
    parser.add_argument("--certificate", type=pathlib.Path, help="PEM file to trust in addition")
    options = parser.parse_args(arguments)
    try:
        actor = chef_server.Actor(options.user, chef_server.usable_key(options.key.read_text()))
        certificate = options.certificate.read_text() if options.certificate else None
        done = upload(options.folder, chef_server.ChefServer(options.url, actor, certificate))
    except (errors.GantryError, OSError) as error:
        sys.stderr.write(f"chef_repository: {error}\n")
        return 1
    sys.stdout.write(
        f"cookbooks: {', '.join(done.cookbooks) or 'none'}\nroles: {', '.join(done.roles) or 'none'}\n"
        f"environments: {', '.join(done.environments) or 'none'}\nfiles sent: {done.files_sent}\n"
        f"left out ({_IGNORE}): {', '.join(done.ignored) or 'none'}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
