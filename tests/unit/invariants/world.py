"""Everything at one moment: the deployment's servers, its Airflow, what it keeps, and what the model knows of them."""

from __future__ import annotations

import itertools
from typing import Any

from gantry.cloud import tags

from . import product
from .airflow import Airflow
from .cloud import S3, Ec2
from .model import Model
from .servers import Content, Machine
from .stage import Stage


class World:
    """A deployment and all around it."""

    def __init__(self, on_failure: str = "keep") -> None:
        self.stage = Stage()
        self.s3 = S3(self.stage)
        self.ec2 = Ec2(self.stage, self._machine)
        self.asset_state: dict[str, dict[str, Any]] = {}
        self.secured: set[str] = set()
        """Assets that have been updated by their aliases: Airflow does not take them for orphans."""
        self.cut = False
        self._addresses = itertools.count(1)
        self._dumps = itertools.count(1)
        for url in product.ARCHIVES:
            self.s3.lay(url, url.encode())
        self.new_dump()
        self.airflow = Airflow(
            self.stage, product.dags(on_failure), lambda _: product.kept(self), self.secured.add
        )
        self.model = Model(self)

    def new_dump(self) -> None:
        content = Content(f"dump {next(self._dumps)}")
        self.s3.lay(product.DUMP, content.body, content)

    def copy_dump(self) -> None:
        """The same bytes, copied: S3 has another ETag for them."""
        found = self.s3.objects[product.DUMP]
        self.s3.lay(product.DUMP, found.body, found.meaning, etag=f"{next(self._dumps):032x}-2")

    def orphan(self) -> None:
        """As Airflow's `_update_asset_orphanage` where no DAG can be read: what is kept with orphans is deleted."""
        for asset in set(self.asset_state) - self.secured:
            del self.asset_state[asset]

    def alive(self) -> list[Machine]:
        return [
            each for each in self.ec2.machines.values() if each.state in ("pending", "running", "stopped")
        ]

    def close(self) -> None:
        self.airflow.close()

    def _machine(self, instance: str, tagged: dict[str, str], index: int, token: str, lag: float) -> Machine:
        number = next(self._addresses)
        return Machine(
            instance,
            dict(tagged),
            index,
            token,
            self.stage,
            self.s3,
            listed_from=self.stage.clock + lag,
            begun=self.stage.clock,
            address=f"10.0.{number // 250}.{number % 250 + 1}",
            cut=lambda: self.cut,
            on_fill=self.model.fills,
            on_filled=self.model.filled,
            on_change=self.model.changes,
            on_probe=self.model.probed,
        )


def place(machine: Machine) -> tuple[str, int]:
    """The tier and the slot that an instance was started for."""
    return machine.tags[tags.TIER], int(machine.tags[tags.SLOTS].split()[machine.index])
