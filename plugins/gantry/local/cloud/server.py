"""Server process: moto's HTTP server with our EC2, on an address reachable from this machine and the instances."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import logging
import os
import secrets
import signal
import string
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import docker
from werkzeug import serving

from gantry.local.cloud import behavior, chef_server, docker_engine, limits, state

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

# The network's gateway is ours alone, so the port can be the same each time.
PORT = 4566
DEFAULT_REGION = "eu-central-1"
DEFAULT_IMAGE = "gantry-server:latest"
PREPARED_IMAGE = "gantry-server:prepared"
_WORKERS = 8

_log = logging.getLogger(__name__)


def serve(
    name: str,
    state_dir: Path,
    region: str = DEFAULT_REGION,
    image: str = DEFAULT_IMAGE,
    wanted: behavior.Manners = behavior.BRISK,
) -> None:
    """Run an embedded cloud in this process until SIGTERM or SIGINT, then remove all of it.

    Raises:
        EngineUnreachableError: No Docker Engine answers.
        ImageMissingError: The image of the instances does not exist.
        NoFreeNetworkError: No address range is free.
        ChefServerStartError: The Chef server is missing, or does not answer.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    folder = state.directory(name, state_dir)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    behavior.save(folder, wanted)
    client = docker_engine.connect()
    docker_engine.require_image(client, image)
    try:
        with _running(client, name, state_dir, region, image) as cloud:
            state.save(cloud)
            _log.info("ready: %s on %s", cloud.name, cloud.endpoint_url)
            stop.wait()
    finally:
        _log.info("ending")
        state.forget(name, state_dir)
        docker_engine.remove_all(client, name)


@contextlib.contextmanager
def _running(
    client: docker.DockerClient, name: str, state_dir: Path, region: str, image: str
) -> Iterator[state.EmbeddedCloud]:
    network, cidr = docker_engine.create_network(client, name)
    address = str(cidr[1])
    access_key_id, secret_access_key = _new_credentials()

    with (
        chef_server.running(address, state.chef_folder(name, state_dir)) as chef,
        concurrent.futures.ThreadPoolExecutor(_WORKERS, "docker") as workers,
    ):
        # moto reads these when it is imported: no catalogue of other people's images.
        os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
        from moto.moto_server import werkzeug_app  # noqa: PLC0415 (after the environment is set)

        from gantry.local.cloud import account, buckets, callers, ec2, signatures, throttling  # noqa: PLC0415 (they import moto)

        machines = docker_engine.Machines(client, name, str(network.name))
        scarce = functools.partial(limits.read, state.directory(name, state_dir))
        behaviour = behavior.Current(state.directory(name, state_dir))
        ec2.install(ec2.Ground(machines, image, threading.RLock(), workers, behaviour, scarce))
        vpc_id, subnet_id, security_group_id = account.furnish(region, str(cidr), image, PREPARED_IMAGE)

        application: WSGIApplication = werkzeug_app.DomainDispatcherApplication(
            werkzeug_app.create_backend_app
        )
        application = signatures.SignatureCheck(
            throttling.Throttle(buckets.OpaqueTags(application), behaviour),
            callers.Callers(access_key_id, secret_access_key),
        )

        class Handler(werkzeug_app.MotoRequestHandler):  # type: ignore[misc] # moto is untyped for us
            """Logs paths without their queries: a presigned URL is a secret."""

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:  # noqa: ARG002
                _log.info("%s %s %s", self.command, self.path.partition("?")[0], code)

        http = serving.make_server(address, PORT, application, threaded=True, request_handler=Handler)
        thread = threading.Thread(target=http.serve_forever, name="http", daemon=True)
        thread.start()
        try:
            chef.await_answer()
            yield state.EmbeddedCloud(
                name=name,
                endpoint_url=f"http://{address}:{PORT}",
                region=region,
                access_key_id=access_key_id,
                secret_access_key=secret_access_key,
                ami=account.IMAGE_ID,
                vpc_id=vpc_id,
                subnet_id=subnet_id,
                security_group_id=security_group_id,
                network=str(network.name),
                cidr=str(cidr),
                pid=os.getpid(),
                state_dir=state_dir.absolute(),
                chef_server_url=chef.url,
                chef_certificate=chef.certificate,
                chef_keys=chef.folder,
            )
        finally:
            http.shutdown()
            thread.join()


def _new_credentials() -> tuple[str, str]:
    """Return an access key in AWS's format."""
    identifier = "".join(secrets.choice(string.ascii_uppercase + "234567") for _ in range(16))
    return f"AKIA{identifier}", secrets.token_urlsafe(30)


def read_log_tail(log_file: Path, lines: int = 20) -> str:
    """Return the last lines of a log, for an error message."""
    try:
        return "\n".join(log_file.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(no log)"
