"""`gantry archive`: packs a service's folder as the archive that a launch installs, locally or in S3."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from typing import Annotated

import typer

from gantry import archive, errors, names
from gantry.cli.support import connections, console, definitions, options

S3 = "s3://"
_CONNECTION = names.ConnectionId("aws_default")

app = typer.Typer(add_completion=False, rich_markup_mode="rich")


class NoArchiveNameError(errors.GantryError):
    """The target's name does not have an archive format's suffix."""

    def __init__(self, target: str) -> None:
        self.target = target
        super().__init__(f"{target}: the name of an archive ends with {' or '.join(archive.SUFFIXES)}")


class NoUrlError(errors.GantryError):
    """The target begins like a URL, but is not a valid one."""

    def __init__(self, target: str) -> None:
        self.target = target
        super().__init__(
            f"{target} is not s3://BUCKET/KEY. A bucket has 3 to 63 small letters, digits, dots, dashes"
        )


@app.command(
    epilog="""[bold]Examples[/]

[cyan]gantry archive include/shop/services/app app.tar.gz[/]

[cyan]gantry archive include/shop/services/app s3://shop/app.tar.gz --deployment shop[/]

[cyan]gantry archive include/shop/services/app s3://shop/app.tar.gz --region eu-central-1 --create-bucket[/]"""
)
def archive_(  # noqa: PLR0913 - one parameter an option
    source: Annotated[
        pathlib.Path,
        typer.Argument(
            metavar="FOLDER", help="The folder that holds the service's bin/.", show_default=False
        ),
    ],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="A file, or s3://BUCKET/KEY.", show_default=False)
    ],
    *,
    connection: Annotated[
        str | None,
        typer.Option(
            help="Airflow connection of the type aws to upload with. "
            f"Left out: the deployment's, else {_CONNECTION}.",
            show_default=False,
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(help="Left out: the deployment's, else the connection's.", show_default=False),
    ] = None,
    deployment: Annotated[
        str | None,
        typer.Option(
            "--deployment",
            "-d",
            metavar="NAME",
            help="Take connection and region from the definition of this deployment.",
            show_default=False,
            autocompletion=options.deployments,
        ),
    ] = None,
    create_bucket: Annotated[
        bool, typer.Option("--create-bucket", help="Create the bucket if it does not exist.")
    ] = False,
    folder: options.Folder = definitions.FOLDER,
    environment: options.Environment = None,
    settings: options.Set = None,
    profile: options.Profile = None,
    json_: options.Json = False,
) -> None:
    """Pack the folder of a service for a launch to install.

    The same folder gives the same bytes, and an archive that is already in S3 is not uploaded again: so a launch
    reinstalls a service only if something in its folder has changed.
    """
    if not target.endswith(archive.SUFFIXES):
        raise NoArchiveNameError(target)
    if not target.startswith(S3):
        built = archive.build_archive(source, pathlib.Path(target))
        _report(built, target, "packed", json_=json_)
        return
    _check_url(target)
    where = _Where(connection, region, profile)
    if deployment is not None:
        found = definitions.find(
            deployment, folder, environment=environment, variables=options.variables(settings)
        )
        cloud = found.definition.cloud
        where = _Where(connection or cloud.connection, region or cloud.region, profile)
    with tempfile.TemporaryDirectory() as scratch:
        built = archive.build_archive(source, pathlib.Path(scratch, target.rpartition("/")[2]))
        done = "uploaded" if _upload(built, target, where, create_bucket=create_bucket) else "unchanged"
    _report(built, target, done, json_=json_)


@dataclasses.dataclass(frozen=True)
class _Where:
    connection: str | None
    region: str | None
    profile: str | None


def _check_url(target: str) -> None:
    import pydantic  # noqa: PLC0415 - not for the sake of --help

    from gantry.definition import fields  # noqa: PLC0415 - as above

    try:
        pydantic.TypeAdapter(fields.S3Url).validate_python(target)
    except pydantic.ValidationError:
        raise NoUrlError(target) from None


def _upload(built: archive.BuiltArchive, url: str, where: _Where, *, create_bucket: bool) -> bool:
    from gantry.cloud import objects, sources  # noqa: PLC0415 - S3's client is Airflow's provider, a second to load

    connections.prepare(where.profile)
    connection = names.ConnectionId(where.connection or _CONNECTION)
    store = objects.Objects.of(sources.S3Access(connection, where.region))
    if create_bucket and store.make_bucket(url):
        console.remark(f"made the bucket {url.removeprefix(S3).partition('/')[0]}")
    return store.put(built.path, url, built.sha256)


def _report(built: archive.BuiltArchive, target: str, done: str, *, json_: bool) -> None:
    if json_:
        console.as_json(
            {
                "target": target,
                "done": done,
                "sha256": built.sha256,
                "size": built.size,
                "files": list(built.files),
            }
        )
    else:
        console.say(f"{done} {target}: {len(built.files)} files, {built.size} bytes, sha256 {built.sha256}")
