"""Rolling updates of services behind load balancers: a few servers at a time, while the others serve."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from gantry.definition import source
from gantry.definition.fields import Duration, Model

_PERCENT = re.compile(r"([0-9]{1,3})\s*%")
_WHOLE = 100


def _amount(value: object) -> object:
    """Parse `2` or `"25%"` as an amount of servers."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (found := _PERCENT.fullmatch(value.strip())) and int(found[1]) <= _WHOLE:
        return f"{int(found[1])}%"
    raise ValueError(f"a number of servers, or a share such as 25%, and not {source.shown(value)}")


def _some(value: int | str) -> int | str:
    if value in (0, "0%"):
        raise ValueError("a batch has at least one server")
    return value


Amount = Annotated[
    int | str,
    pydantic.BeforeValidator(_amount),
    pydantic.WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": rf"^\s*{_PERCENT.pattern}\s*$"},
            ]
        }
    ),
]
"""A number of servers, or a share of those that there are."""


class Update(Model):
    """How a new version of a balanced service, or a change of its configuration, reaches its servers."""

    batch: Annotated[Amount, pydantic.AfterValidator(_some)] = Field(
        default=1,
        description=(
            "How many servers are updated at the same time: a number, or a share of them, rounded down, at least 1."
        ),
        examples=["25%"],
    )
    min_healthy: Amount | None = Field(
        default=None,
        description=(
            "How many servers must keep serving meanwhile: a number, or a share of them, rounded up; batches are "
            "made smaller if necessary. Left out: all that are not in the batch."
        ),
        examples=["50%"],
    )
    pause: Duration = Field(
        default=datetime.timedelta(seconds=5),
        description="How long a batch has to stay healthy, back in the load balancers, before the next one leaves.",
        examples=["30s"],
    )
    drain: Duration = Field(
        default=datetime.timedelta(seconds=30),
        description=(
            "How long requests under way may take to end after a server has left the load balancers. What lasts "
            "longer is cut off."
        ),
        examples=["2m"],
    )
    order: Literal["slot", "reverse"] = Field(
        default="slot",
        description="Which servers are first: those with the lowest slots, or with the highest.",
        examples=["reverse"],
    )
    on_failure: Literal["stop", "roll_back"] = Field(
        default="stop",
        description=(
            "What happens to a batch that fails: it stays out of the load balancers, or it gets its previous version "
            "back. The launch fails in both cases, and no other server is touched."
        ),
        examples=["roll_back"],
    )

    def batch_of(self, servers: int) -> int:
        """Return how many of this number of servers are updated at the same time."""
        return max(1, min(servers, _share(self.batch, servers)[0]))

    def healthy_of(self, servers: int) -> int:
        """Return how many of this number of servers have to serve at any time."""
        if self.min_healthy is None:
            return max(0, servers - self.batch_of(servers))
        return _share(self.min_healthy, servers)[1]


def _share(amount: int | str, servers: int) -> tuple[int, int]:
    """Return an amount of this number of servers, rounded down and rounded up."""
    if isinstance(amount, int):
        return amount, amount
    part = servers * int(amount.removesuffix("%"))
    return part // _WHOLE, -(-part // _WHOLE)
