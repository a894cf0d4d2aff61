"""Errors about requests: one text each, wherever the request comes from."""

from __future__ import annotations

from collections.abc import Iterable

from gantry import errors, names


class UnknownChoiceError(errors.GantryError):
    """A name that the operation's form does not offer.

    Attributes:
        option: what the command line calls the field.
        name: the name.
    """

    def __init__(self, option: str, what: str, name: str, known: Iterable[str]) -> None:
        self.option = option
        self.name = name
        super().__init__(f"{option}: unknown {what} {name!r}{errors.suggestion(name, known)}")


class ServerCountError(errors.GantryError):
    """A requested number of servers is outside the tier's limits.

    Attributes:
        tier: the tier.
        wanted: the requested number.
    """

    def __init__(self, tier: str, wanted: int, fewest: int, most: int, option: str = "") -> None:
        self.tier = tier
        self.wanted = wanted
        super().__init__(
            f"{f'{option}: ' if option else ''}tier {tier}: {wanted} servers are wanted, and its limits are "
            f"{fewest} to {most}\nChoose a number within the limits, or change the definition."
        )


class FieldNotOfferedError(errors.GantryError):
    """A field that the operation's form does not have for this deployment.

    Attributes:
        option: what the command line calls the field.
    """

    def __init__(self, option: str, requirement: str) -> None:
        self.option = option
        super().__init__(
            f"{option}: the deployment does not offer this: {requirement}\n"
            f"Airflow reads a changed definition when it scans its DAGs folder the next time."
        )


class NotConfirmedError(errors.GantryError):
    """A termination or restore was started without the deployment's name typed in.

    Attributes:
        deployment: the name that has to be typed.
        typed: what was typed.
    """

    def __init__(self, deployment: names.DeploymentName, typed: str, nothing: str) -> None:
        self.deployment = deployment
        self.typed = typed
        super().__init__(
            f"the confirmation reads {typed!r}, not {deployment!r}: {nothing}\n"
            f"Trigger the run again and type the deployment's name into the field confirm."
        )
