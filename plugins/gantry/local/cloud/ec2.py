"""moto's EC2 with containers as instances. All changes to moto are made in this module.

Import it in the server process only: `install` changes moto for the whole process.
"""

from __future__ import annotations

import base64
import concurrent.futures
import copy
import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import moto.ec2.models.instances as moto_instances
import moto.ec2.responses as moto_responses
import moto.ec2.urls as moto_urls
import moto.ec2.utils as moto_utils
from moto.core.responses import ActionResult
from moto.core.types import Base64EncodedString
from moto.core.utils import utcnow
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends

from gantry.definition import models
from gantry.local import errors
from gantry.local.cloud import (
    behavior,
    capacity_errors,
    client_tokens,
    consistency,
    docker_engine,
    limits,
    metadata_options,
    run_instances_validation,
)

_PENDING, _RUNNING, _SHUTTING_DOWN, _TERMINATED, _STOPPING = 0, 16, 32, 48, 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ground:
    """The environment of instances.

    Attributes:
        lock: Held while moto's EC2 state is read or changed: its classes are not thread-safe.
        workers: Threads for slow Docker calls.
        behaviour: Returns how much like EC2 to behave now.
        limits: Returns the current capacity limits.
    """

    machines: docker_engine.Machines
    image: str
    lock: threading.RLock
    workers: concurrent.futures.ThreadPoolExecutor
    behaviour: Callable[[], behavior.Manners]
    limits: Callable[[], limits.Limits] = limits.Limits


class Instance(moto_instances.Instance):  # type: ignore[misc] # moto is untyped for us, see pyproject
    """An EC2 instance backed by a container. It has moto's class name, as moto's serializer depends on class names.

    A transition (boot, stop, …) enters its first state at once and its last one when Docker is done. Transitions of
    one instance are sequential.
    """

    ground: ClassVar[Ground]

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self._state = moto_instances.InstanceState("pending", _PENDING)
        self._turn = threading.Lock()
        self._transitions = 0
        self._last_console = b""
        self._in_public = False
        self.age = consistency.Age(self.ground.behaviour)

    def get_tags(self) -> list[dict[str, str]]:
        """Return the instance's tags, as moto's `describe_tags` has them.

        moto compares the instance's id with the id of each tag in the account: a list of all instances with a tag
        would take time by the square of their number.
        """
        kind = moto_utils.EC2_PREFIX_TO_RESOURCE[moto_utils.get_prefix(self.id)]
        found = self.ec2_backend.tags.get(self.id, {})
        return [
            {"resource_id": self.id, "key": key, "value": value, "resource_type": kind}
            for key, value in found.items()
        ]

    # moto reports these for an ended instance, EC2 does not.
    @property
    def private_ip(self) -> str | None:
        """Return the address in the Docker network; none after the end."""
        return None if self._state.code == _TERMINATED else super().private_ip

    @property
    def private_ip_address(self) -> str | None:
        """Return the same, under the name that moto's serializer uses."""
        return self.private_ip

    @property
    def private_dns_name(self) -> str:
        """Return a name derived from the address; empty after the end."""
        return "" if self.private_ip is None else str(super().private_dns_name)

    @property
    def network_interfaces(self) -> list[Any]:
        """Return the network interface; none after the end."""
        return [] if self._state.code == _TERMINATED else list(super().network_interfaces)

    def furnish(
        self, volumes: tuple[models.Volume, ...], tags: dict[str, dict[str, str]], profile: str | None
    ) -> None:
        """Give a new instance its volumes, its instance profile and its public address, before it boots.

        moto gives the profile only to the first instance of a batch.
        """
        self.teardown_defaults()
        for each in volumes:
            made = self.ec2_backend.create_volume(
                size=each.size,
                zone_name=self.availability_zone,
                snapshot_id=each.snapshot,
                encrypted=each.encrypted,
                volume_type=each.type,
                iops=each.iops,
                throughput=each.throughput,
            )
            self.ec2_backend.attach_volume(made.id, self.id, each.device, each.delete_on_termination)
            made.add_tags(tags.get("volume", {}))
        if profile is not None:
            self.ec2_backend.associate_iam_instance_profile(self.id, iam_instance_profile_arn=profile)
        nic = self.nics[0]
        nic.add_tags(tags.get("network-interface", {}))
        # Whether set at the interface or by default, they belong to the instance.
        self.security_groups = sorted(nic.group_set, key=lambda each: str(each.id))
        # moto invents an address, and another one at each start.
        self._in_public, nic.public_ip_auto_assign = bool(nic.public_ip), False
        self._take_public_address()

    def _take_public_address(self) -> None:
        taken = {
            instance.public_ip
            for reservation in self.ec2_backend.reservations.values()
            for instance in reservation.instances
            if instance is not self
        }
        self.nics[0].public_ip = self.ground.machines.public_address(taken) if self._in_public else None

    def boot(self) -> None:
        """Create the container."""
        self._begin(self._boot)

    def start(self) -> moto_instances.InstanceState:
        """StartInstances."""
        previous = copy.copy(self._state)
        if previous.name not in {"stopped", "running", "pending"}:
            raise run_instances_validation.wrong_state(self, "started")
        if previous.name == "stopped":
            self._state = moto_instances.InstanceState("pending", _PENDING)
            self._begin(self._start)
        return previous

    def stop(self) -> moto_instances.InstanceState:
        """StopInstances."""
        previous = copy.copy(self._state)
        if previous.name in {"terminated", "shutting-down"}:
            raise run_instances_validation.wrong_state(self, "stopped")
        if previous.name in {"running", "pending"}:
            self._state = moto_instances.InstanceState("stopping", _STOPPING)
            self._begin(self._stop)
        return previous

    def reboot(self) -> None:
        """RebootInstances: EC2 shows the instance as running meanwhile."""
        if self._state.name != "running":
            raise run_instances_validation.wrong_state(self, "rebooted")
        self._begin(lambda: self.ground.machines.reboot(self.id))

    def terminate(self) -> moto_instances.InstanceState:
        """TerminateInstances; may be repeated."""
        previous = copy.copy(self._state)
        if previous.name not in {"terminated", "shutting-down"}:
            self._state = moto_instances.InstanceState("shutting-down", _SHUTTING_DOWN)
            self._begin(self._terminate)
        return previous

    def console(self) -> bytes:
        """Return the server's console output; the last of it when it is gone, and nothing at first."""
        if not self.age.shows_console:
            return b""
        return self.ground.machines.console(self.id) or self._last_console

    def face(self, found: docker_engine.MachineState | None) -> None:
        """Adopt the container's state after external changes (it died, or was started by hand)."""
        if self._transitions or self._state.name not in {"running", "stopped"}:
            return
        if found is None:
            self._end("Server.InternalError", "the container no longer exists")
        elif found is docker_engine.MachineState.RUNNING:
            if self._state.name == "stopped":
                super().start()
        elif self._state.name == "running":
            self._went_down(found)

    def _went_down(self, found: docker_engine.MachineState) -> None:
        code, message = "Client.InstanceInitiatedShutdown", "Instance initiated shutdown"
        if found is docker_engine.MachineState.DIED:
            code, message = "Server.InternalError", "the container died"
        if self.instance_initiated_shutdown_behavior == "terminate":
            self.terminate()
            return
        self._went_to_rest()
        self._give_reason(code, message)

    def _went_to_rest(self) -> None:
        super().stop()
        # As in EC2: the next start assigns another one.
        self.nics[0].public_ip = None

    def _begin(self, transition: Callable[[], None]) -> None:
        self._transitions += 1
        self.ground.workers.submit(self._perform, transition)

    def _perform(self, transition: Callable[[], None]) -> None:
        try:
            with self._turn:
                transition()
        except errors.MachineError as error:
            _log.warning("%s", error)
            with self.ground.lock:
                self._end("Server.InternalError", error.reason)
        except Exception:  # noqa: BLE001 (the end of a worker's work: told in the log and in the state)
            _log.exception("%s: a transition failed", self.id)
            with self.ground.lock:
                self._end("Server.InternalError", "see the log of the embedded cloud")
        finally:
            with self.ground.lock:
                self._transitions -= 1

    def _boot(self) -> None:
        with self.ground.lock:
            if self._state.code != _PENDING:  # terminated before its turn came
                return
            made = [self.ec2_backend.volumes[each.volume_id] for _, each in self.get_block_device_mapping]
            if fate := capacity_errors.fate(self.ec2_backend, self.image_id, made, self.ground.limits()):
                self._end(*fate)
                return
            machine = self._machine()
        self.ground.machines.boot(machine)
        with self.ground.lock:
            if self._state.code == _PENDING:
                super().start()

    def _start(self) -> None:
        with self.ground.lock:
            self._take_public_address()
            machine = self._machine()
        self.ground.machines.start(machine)
        with self.ground.lock:
            if self._state.code == _PENDING:
                super().start()

    def _stop(self) -> None:
        self.ground.machines.stop(self.id)
        with self.ground.lock:
            if self._state.code == _STOPPING:
                self._went_to_rest()

    def _terminate(self) -> None:
        self._last_console = self.ground.machines.console(self.id)
        self.ground.machines.remove(self.id)
        with self.ground.lock:
            super().terminate()
            self._release_addresses()

    def _end(self, code: str, message: str) -> None:
        """Terminate for a reason other than a request."""
        self._last_console = self.console()
        self.ground.machines.remove(self.id)
        if self._state.code != _TERMINATED:
            super().terminate()
            self._release_addresses()
        self._give_reason(code, message)

    def _give_reason(self, code: str, message: str) -> None:
        self.state_reason = moto_instances.StateReason(f"{code}: {message}", code)

    def _release_addresses(self) -> None:
        self.age.end()
        self.nics[0].public_ip = None
        # moto does this when the object is collected, which never happens, as reservations are kept.
        subnet = self.ec2_backend.get_subnet(self.subnet_id)
        while self._private_ips:
            subnet.del_subnet_ip(self._private_ips.pop())

    def _machine(self) -> docker_engine.Machine:
        image = self.ec2_backend.amis[self.image_id]
        key_pair = self.ec2_backend.key_pairs.get(self.key_name)
        return docker_engine.Machine(
            instance_id=self.id,
            image=image.image_location or self.ground.image,
            address=str(super().private_ip),
            public_address=self.nics[0].public_ip,
            hostname=str(super().private_dns_name),
            user_data=base64.b64decode(str(self.user_data)) if self.user_data else b"",
            public_keys={self.key_name: key_pair.public_key.strip()} if key_pair else {},
        )


class EC2Response(metadata_options.MetadataDefaults, moto_responses.EC2Response):  # type: ignore[misc] # moto is untyped for us, see pyproject
    """The EC2 API with corrections of moto, and with the containers' actual state before each answer."""

    # moto reports every instance as "pending" in the answer to RunInstances; a repeated call reports the actual state.
    RESPONSE_KEY_PATH_TO_TRANSFORMER: ClassVar[dict[str, Any]] = {
        path: transform
        for path, transform in moto_responses.EC2Response.RESPONSE_KEY_PATH_TO_TRANSFORMER.items()
        if path != "RunInstances.Reservation.Instances.Instance.State"
    }

    _tokens: ClassVar = client_tokens.ClientTokens()

    def _dispatch(self, *args: object, **kwargs: object) -> object:
        ground = Instance.ground
        with ground.lock:
            found = ground.machines.states()
            for _, _, backend in ec2_backends.iter_backends():
                for reservation in list(backend.reservations.values()):
                    for instance in reservation.instances:
                        instance.face(found.get(instance.id))
                    reservation.instances = [each for each in reservation.instances if each.age.is_shown]
                    if not reservation.instances:
                        del backend.reservations[reservation.id]
            return super()._dispatch(*args, **kwargs)

    def call_action(self) -> object:
        """Execute any action, on what EC2 would know by now."""
        if self._get_action() == "RunInstances":
            return super().call_action()
        with consistency.without(self.ec2_backend, lambda instance: instance.age.is_new):
            return super().call_action()

    def run_instances(self) -> ActionResult | tuple[int, dict[str, str], str]:
        """RunInstances, at most once per client token."""
        self.error_on_dryrun()
        # Before moto fills in defaults: EC2 compares the parameters as sent.
        request = client_tokens.fingerprint(self.querystring)
        token = str(self._get_param("ClientToken") or "") or secrets.token_hex(16)
        scope = (self.region, run_instances_validation.zone(self.ec2_backend, self.params))
        if (known := self._tokens.answered(scope, token, request)) is not None:
            return ActionResult(known)
        self._complete_parameters()
        run_instances_validation.check(self.ec2_backend, self.params)
        try:
            # moto starts MinCount instances.
            self.params["MinCount"] = capacity_errors.room(
                self.ec2_backend, self.params, Instance.ground.limits()
            )
        except capacity_errors.ServerFaultError as fault:
            _, headers, body = self.serialized(ActionResult(fault))
            return 500, {**headers, "status": "500"}, body
        profile = run_instances_validation.profile(
            self.current_account, self.params.pop("IamInstanceProfile", {})
        )
        root_device = self.ec2_backend.amis[self._get_param("ImageId")].root_device_name
        volumes = run_instances_validation.volumes(
            self.ec2_backend, root_device, self.params.pop("BlockDeviceMappings", ())
        )
        result = super().run_instances()
        reservation = result.result
        self._tokens.keep(scope, token, request, reservation)
        tags = self._parse_tag_specification()
        for instance in reservation.instances:
            instance.furnish(volumes, tags, profile)
            instance.boot()
        return result

    def create_tags(self) -> ActionResult:
        """CreateTags, within EC2's limits."""
        consistency.require_known(self.ec2_backend, self._get_param("Resources", []))
        run_instances_validation.check_tags(self._get_param("Tags", []))
        return super().create_tags()

    def delete_tags(self) -> ActionResult:
        """DeleteTags, of known resources."""
        consistency.require_known(self.ec2_backend, self._get_param("Resources", []))
        return super().delete_tags()

    def get_console_output(self) -> ActionResult:
        """GetConsoleOutput: always the latest, with or without `Latest`."""
        instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
        output = base64.b64encode(instance.console())
        return ActionResult(
            {
                "InstanceId": instance.id,
                "Timestamp": utcnow(),
                "Output": Base64EncodedString.from_encoded_bytes(output),
            }
        )

    def register_image(self) -> ActionResult:
        """RegisterImage, keeping `ImageLocation`: here the name of a Docker image."""
        result = super().register_image()
        self.ec2_backend.amis[result.result["ImageId"]].image_location = self._get_param("ImageLocation")
        return result

    def _complete_parameters(self) -> None:
        # moto accepts any image, and without a subnet assumes EC2-Classic.
        self.params["ImageId"] = capacity_errors.image(self.ec2_backend, str(self._get_param("ImageId")))
        self.params["MetadataOptions"] = self.metadata_options(self._get_param("MetadataOptions"))
        self.ec2_backend.describe_images(ami_ids=[self._get_param("ImageId")])
        if int(self._get_param("MinCount")) > int(self._get_param("MaxCount")):
            raise EC2ClientError("InvalidParameterCombination", "MinCount is greater than MaxCount.")
        for each in self._get_param("NetworkInterfaces") or [self.params]:
            if not each.get("SubnetId"):
                each["SubnetId"] = next(iter(self.ec2_backend.get_default_subnets().values())).id


def install(ground: Ground) -> None:
    """Change moto's EC2. Call it before the first request and before the first backend."""
    Instance.ground = ground
    # InstanceBackend.run_instances creates its instances by this module-level name.
    moto_instances.Instance = Instance
    # The application is built from this table.
    moto_urls.url_paths = {"{0}/": EC2Response.dispatch}
    # DescribeInstances rejects filters that are not in this table; this one finds a launch again.
    moto_utils.filter_dict_attribute_mapping["client-token"] = "client_token"
