"""`python -m gantry.local up|down|status|put|serve`."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from pathlib import Path

from rich.markup import escape

from gantry.cli.support import console
from gantry.errors import GantryError
from gantry.local import errors
from gantry.local.cloud import behavior, control, server, state

_console = console.out


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        {"up": _up, "down": _down, "status": _status, "put": _put, "serve": _serve}[options.command](options)
    except GantryError as error:
        print(f"gantry.local: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gantry.local",
        description="An embedded cloud: EC2 and S3 whose instances are containers, and a Chef server.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--name", default=state.DEFAULT_NAME, help="several run side by side (default: %(default)s)"
    )
    common.add_argument("--state-dir", type=Path, help="default: $GANTRY_LOCAL_STATE or /tmp/gantry-local")
    making = argparse.ArgumentParser(add_help=False)
    making.add_argument("--region", default=server.DEFAULT_REGION)
    making.add_argument("--image", default=server.DEFAULT_IMAGE, help="Docker image (default: %(default)s)")
    making.add_argument(
        "--realistic", action="store_true", help="as late as EC2, and as few calls as EC2 allows"
    )
    making.add_argument(
        "--shows-ended", type=float, metavar="SECONDS", help="how long terminated instances are described"
    )

    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", parents=[common, making], help="start it in the background")
    ending = commands.add_parser(
        "down", parents=[common], help="end it and remove all of it, after a crash too"
    )
    ending.add_argument(
        "--stop-engine", action="store_true", help="also end dockerd, if docker/setup-machine.sh started it"
    )
    commands.add_parser("status", parents=[common], help="what exists")
    putting = commands.add_parser("put", parents=[common], help="upload a file, such as a service archive")
    putting.add_argument("file", type=Path)
    putting.add_argument("target", type=_bucket_and_key, metavar="s3://BUCKET/KEY")
    serving = commands.add_parser("serve", parents=[common, making], help="run it in this process")
    serving.add_argument("--manners", type=behavior.parse, metavar="JSON", help=argparse.SUPPRESS)
    return parser


def _up(options: argparse.Namespace) -> None:
    cloud = control.up(
        options.name,
        options.state_dir,
        region=options.region,
        image=options.image,
        wanted=_manners(options),
    )
    _console.print(f"EC2 and S3 of {cloud.name!r} answer on {cloud.endpoint_url} ({cloud.region})")
    _console.print(f"Chef server {cloud.chef_server_url}, its keys in {cloud.chef_keys}")
    _console.print(
        f"image {cloud.ami}, subnet {cloud.subnet_id} ({cloud.cidr}), group {cloud.security_group_id}"
    )
    _console.print(f"access key: {state.directory(cloud.name, cloud.state_dir) / 'state.json'}")


def _manners(options: argparse.Namespace) -> behavior.Manners:
    found = behavior.REALISTIC if options.realistic else behavior.BRISK
    return (
        found if options.shows_ended is None else dataclasses.replace(found, shows_ended=options.shows_ended)
    )


def _down(options: argparse.Namespace) -> None:
    for thing in control.down(options.name, options.state_dir):
        _console.print(f"removed {escape(thing)}")
    if options.stop_engine and control.stop_engine():
        _console.print("stopped dockerd")


def _status(options: argparse.Namespace) -> None:
    for thing in control.leftovers(options.name):
        _console.print(escape(thing))
    cloud = state.load(options.name, options.state_dir)
    if cloud.pid not in control.processes(options.name):
        _console.print("the server process has ended; `down` removes what it left")
        return
    for page in cloud.client("ec2").get_paginator("describe_instances").paginate():
        for instance in (one for reservation in page["Reservations"] for one in reservation["Instances"]):
            tags = {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}
            _console.print(
                f"instance {instance['InstanceId']} {instance['State']['Name']}"
                f" {instance.get('PrivateIpAddress', '-')} {escape(tags.get('Name', ''))}"
            )
    for bucket in cloud.client("s3").list_buckets()["Buckets"]:
        _console.print(f"bucket {bucket['Name']}")


def _put(options: argparse.Namespace) -> None:
    cloud = state.load(options.name, options.state_dir)
    bucket, key = options.target
    if not options.file.is_file():
        raise errors.LocalCloudError(f"there is no file {options.file}")
    s3 = cloud.client("s3")
    cloud.make_bucket(bucket)
    s3.upload_file(str(options.file), bucket, key)
    _console.print(f"uploaded {escape(str(options.file))} to s3://{bucket}/{escape(key)}")


def _bucket_and_key(text: str) -> tuple[str, str]:
    bucket, _, key = text.removeprefix("s3://").partition("/")
    if not text.startswith("s3://") or not bucket or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form s3://BUCKET/KEY")
    return bucket, key


def _serve(options: argparse.Namespace) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    folder = options.state_dir or state.default_state_dir()
    server.serve(options.name, folder, options.region, options.image, options.manners or _manners(options))


if __name__ == "__main__":
    sys.exit(main())
