"""Deployments in Airflow: each of their operations is a DAG."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

from gantry import errors as root
from gantry import names
from gantry.rest import client, errors

_TAG, _LAUNCH = "gantry", "launch"
"""The tags of every launch DAG."""


class UnknownDeploymentError(root.GantryError):
    """Airflow does not have this deployment."""

    def __init__(self, name: str, url: str, known: list[str], why: Iterable[str] = ()) -> None:
        self.name = name
        self.known = known
        reasons = "\n".join(why) or "Airflow finds a new loader when it scans its DAGs folder the next time."
        super().__init__(
            f"Airflow at {url} has no deployment {name!r}{root.suggestion(name, known)}\n{reasons}"
        )


class BrokenDefinitionError(root.GantryError):
    """Airflow can no longer parse the deployment's definition or loader."""

    def __init__(self, name: str, reasons: list[str]) -> None:
        self.name = name
        self.reasons = reasons
        told = "\n".join(reasons) or "Airflow reports no reason; see its import errors."
        super().__init__(f"Airflow cannot read the definition of {name!r}:\n{told}")


class GoneError(root.GantryError):
    """The deployment's loader no longer exists."""

    def __init__(self, name: str, file: str) -> None:
        self.name = name
        super().__init__(
            f"the deployment {name!r} is known to Airflow, but its loader {file} no longer exists, or creates no "
            f"DAG of that name; restore the file, or terminate the servers manually"
        )


class PausedError(root.GantryError):
    """The DAG is paused: a run would wait."""

    def __init__(self, dag: str, *, has_clock: bool) -> None:
        self.dag = dag
        super().__init__(
            f"the DAG {dag!r} is paused, so the run would not start. Use --unpause to unpause it"
            + (" (then scheduled runs start, too)" if has_clock else "")
        )


class NothingToScaleError(root.GantryError):
    """The number of servers is fixed for all tiers of the deployment."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name}: each of its tiers has one number of servers, so there is nothing to scale\n"
            f"Give a tier a range in the definition: servers: {{min: 2, max: 6}}."
        )


class NoOperationError(root.GantryError):
    """The deployment does not have the requested operation."""

    def __init__(self, name: str, dag: str) -> None:
        self.dag = dag
        super().__init__(
            f"the deployment {name!r} has no DAG {dag!r}: does its definition say `backups:`? (And for drills "
            f"`drill:` in it.) Airflow reads a changed definition when it scans its DAGs folder the next time"
        )


def every(api: client.AirflowApi) -> list[client.Dag]:
    """Return the launch DAGs of all deployments that the user may see, by name, without those whose loader is gone."""
    return [each for each in api.dags(_TAG, _LAUNCH) if not each.is_stale]


def scalable(api: client.AirflowApi, name: str, dag: str) -> None:
    """Find the DAG that scales a deployment.

    Raises:
        UnknownDeploymentError: Airflow does not have this deployment.
        NothingToScaleError: the number of servers is fixed for all its tiers.
    """
    find(api, name)
    try:
        api.dag(dag)
    except errors.NotFoundError:
        raise NothingToScaleError(name) from None


def find(api: client.AirflowApi, name: str, dag: str | None = None) -> client.Dag:
    """Return a DAG of a deployment, by default the one that launches it, even if it is broken or gone.

    Raises:
        UnknownDeploymentError: it does not exist; the message says so if a loader of that name cannot be parsed.
    """
    try:
        found = api.dag(dag or names.dag_id(name, names.Operation.LAUNCH))
    except errors.NotFoundError:
        found = None
    if found is None or _TAG not in found.tags:
        why = [] if found is None else [f"It has a DAG of that name, which is not Gantry's ({found.file})."]
        why += [each.message for each in _broken(api, PurePosixPath(name).stem)]
        raise UnknownDeploymentError(name, api.login.url, [each.id for each in every(api)], why)
    return found


def ready(api: client.AirflowApi, name: str, dag: str, *, unpause: bool) -> client.Dag:
    """Return a DAG of a deployment that can run now.

    Raises:
        UnknownDeploymentError: it does not exist.
        BrokenDefinitionError: its loader or definition cannot be parsed.
        GoneError: its loader is gone.
        PausedError: it is paused, and `unpause` is false.
    """
    found = find(api, name, dag)
    if found.has_import_errors:
        raise BrokenDefinitionError(name, [each.message for each in _broken(api, found.file)])
    if found.is_stale:
        raise GoneError(name, found.file)
    if found.is_paused:
        if not unpause:
            raise PausedError(dag, has_clock=dag != names.dag_id(name, names.Operation.TERMINATE))
        api.unpause(dag)
    return found


def operable(api: client.AirflowApi, name: str, dag: str, *, unpause: bool) -> client.Dag:
    """As `ready`, for a DAG that not every deployment has.

    Raises:
        NoOperationError: the deployment exists, but does not have this DAG.
    """
    find(api, name)
    try:
        api.dag(dag)
    except errors.NotFoundError as error:
        raise NoOperationError(name, dag) from error
    return ready(api, name, dag, unpause=unpause)


def _broken(api: client.AirflowApi, loader: str) -> list[client.BrokenFile]:
    """Return the import errors of a loader, given by its path or by the file's stem."""
    try:
        found = list(api.broken_files())
    except errors.ForbiddenError:
        # The right to see the DAG does not imply the right to see these.
        return []
    return [each for each in found if loader in (each.file, PurePosixPath(each.file).stem)]
