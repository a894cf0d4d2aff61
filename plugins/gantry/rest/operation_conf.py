"""Deployments in Airflow, and the `conf` of their operations' runs: each operation is a DAG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from gantry import errors as root
from gantry import names
from gantry.rest import client, errors

_TAG, _LAUNCH = "gantry", "launch"
"""The tags of every launch DAG."""

_SERVERS = "servers_"
"""Prefix of the parameters with the numbers of servers of tiers."""


class UnknownDeploymentError(root.GantryError):
    """Airflow does not have this deployment."""

    def __init__(self, name: str, url: str, known: list[str], why: Iterable[str] = ()) -> None:
        self.name = name
        self.known = known
        reasons = (
            "\n".join(why) or "A new loader is seen when Airflow looks at its DAGs folder the next time."
        )
        super().__init__(f"Airflow at {url} has no deployment {name!r}{_hint(name, known)}\n{reasons}")


class BrokenDefinitionError(root.GantryError):
    """Airflow can no longer parse the deployment's definition or loader."""

    def __init__(self, name: str, reasons: list[str]) -> None:
        self.name = name
        self.reasons = reasons
        told = "\n".join(reasons) or "Airflow does not say why; see its page of import errors."
        super().__init__(f"Airflow cannot read the definition of {name!r}:\n{told}")


class GoneError(root.GantryError):
    """The deployment's loader no longer exists."""

    def __init__(self, name: str, file: str) -> None:
        self.name = name
        super().__init__(
            f"the deployment {name!r} is known to Airflow, but its loader {file} is gone or makes no DAG of that name; "
            f"put it back, or terminate the servers by hand"
        )


class PausedError(root.GantryError):
    """The DAG is paused: a run would wait."""

    def __init__(self, dag: str, *, has_clock: bool) -> None:
        self.dag = dag
        super().__init__(
            f"the DAG {dag!r} is paused, so nothing would happen. Give --unpause to unpause it"
            + (" (then its schedule, if it has one, is followed too)" if has_clock else "")
        )


class NothingToScaleError(root.GantryError):
    """The number of servers is fixed for all tiers of the deployment."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"{name}: each of its tiers has one number of servers, so there is nothing to scale\n"
            f"Give a tier a range in the definition: servers: {{min: 2, max: 6}}."
        )


class CountError(root.GantryError):
    """The definition does not allow this number of servers."""

    def __init__(self, option: str, tier: str, count: int, fewest: int, most: int) -> None:
        self.tier = tier
        self.count = count
        super().__init__(
            f"{option}: tier {tier!r} has at least {fewest} and at most {most} servers, and not {count}; "
            f"choose a number within these limits, or change the definition"
        )


class NoOperationError(root.GantryError):
    """The deployment does not have the requested operation."""

    def __init__(self, name: str, dag: str) -> None:
        self.dag = dag
        super().__init__(
            f"the deployment {name!r} has no DAG {dag!r}: does its definition say `backups:`? (And for drills "
            f"`drill:` in there.) A change of it is seen when Airflow looks at its DAGs folder the next time"
        )


class ParameterError(root.GantryError):
    """The deployment's form does not have this choice."""

    def __init__(self, option: str, value: str, what: str, known: list[str]) -> None:
        self.value = value
        super().__init__(f"{option}: unknown {what} {value!r}{_hint(value, known)}")


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


def backup_conf(params: Mapping[str, Any], only: Iterable[str], reason: str) -> dict[str, Any]:
    """Return the conf of a backup run: `only` these backups, or all. Raises ParameterError."""
    chosen = list(dict.fromkeys(only))
    known = _choices(params, "backups")
    for each in chosen:
        if each not in known:
            raise ParameterError("--only", each, "backup", known)
    return {**({"backups": chosen} if chosen else {}), **({"reason": reason} if reason else {})}


def restore_conf(
    params: Mapping[str, Any], backup: str, object_: str, confirm: str, reason: str
) -> dict[str, Any]:
    """Return the conf of a restore. Raises ParameterError."""
    known = [str(each) for each in ((params.get("backup") or {}).get("schema") or {}).get("enum") or ()]
    if backup not in known:
        raise ParameterError("BACKUP", backup, "backup", known)
    found = {"backup": backup, "object": object_, "confirm": confirm, "reason": reason}
    return {key: value for key, value in found.items() if value}


def termination_conf(
    params: Mapping[str, Any],
    name: str,
    *,
    confirm: str,
    force: bool,
    final_backup: bool | None,
    reason: str,
) -> dict[str, Any]:
    """Return the conf of a termination. `final_backup` is None if the definition decides.

    Raises:
        NoOperationError: a final backup was requested of a deployment without backups.
    """
    if final_backup and "final_backup" not in params:
        raise NoOperationError(name, names.dag_id(name, names.Operation.BACKUP))
    found: dict[str, Any] = {"confirm": confirm}
    if force:
        found["force"] = True
    if final_backup is not None and "final_backup" in params:
        found["final_backup"] = final_backup
    if reason:
        found["reason"] = reason
    return found


def conf(  # noqa: PLR0913 - one parameter a field of the form
    params: Mapping[str, Any],
    *,
    servers: Mapping[str, int],
    redeploy: Iterable[str] = (),
    converge: Iterable[str] = (),
    from_dump: Iterable[str] = (),
    from_backup: Iterable[str] = (),
    reload_dump: Iterable[str] = (),
    reason: str = "",
    option: str = "--servers",
) -> dict[str, Any]:
    """Return the conf of a launch. Airflow itself accepts unknown keys, which nothing reads.

    Args:
        params: the DAG's parameters, from `client.AirflowApi.params`.
        servers: the minimum numbers of servers, by tier.
        redeploy: services to install again.
        converge: tiers whose configuration management runs again.
        from_dump: datasources that start from their dump if they are lost.
        from_backup: datasources that start from their newest backup if they have no record.
        reload_dump: datasources that are loaded from their dump although they hold data.
        reason: recorded with the run.
        option: the option with the numbers, for errors.

    Raises:
        ParameterError: the tier or the service does not exist.
        CountError: the tier cannot have this number of servers.
    """
    tiers = [each.removeprefix(_SERVERS) for each in params if each.startswith(_SERVERS)]
    for tier, count in servers.items():
        if tier not in tiers:
            raise ParameterError(option, tier, "tier", tiers)
        schema = (params[f"{_SERVERS}{tier}"] or {}).get("schema") or {}
        fewest, most = schema.get("minimum", count), schema.get("maximum", count)
        if not fewest <= count <= most:
            raise CountError(option, tier, count, fewest, most)
    found: dict[str, Any] = {f"{_SERVERS}{tier}": count for tier, count in servers.items()}
    for key, wanted, what in (
        ("redeploy", redeploy, "service"),
        ("converge", converge, "tier"),
        ("from_dump", from_dump, "datasource"),
        ("from_backup", from_backup, "datasource"),
        ("reload_dump", reload_dump, "datasource"),
    ):
        found |= _chosen(params, key, wanted, what)
    if reason:
        found["reason"] = reason
    return found


def recover_conf(
    params: Mapping[str, Any],
    servers: Iterable[str],
    *,
    anyway: bool,
    from_dump: Iterable[str],
    from_backup: Iterable[str] = (),
    reason: str,
) -> dict[str, Any]:
    """Return the conf of a recovery: `servers` only, or all lost ones. Raises ParameterError."""
    found = {
        "servers": list(dict.fromkeys(servers)),
        "anyway": anyway,
        **_chosen(params, "from_dump", from_dump, "datasource"),
        **_chosen(params, "from_backup", from_backup, "datasource"),
        "reason": reason,
    }
    return {key: value for key, value in found.items() if value}


def _chosen(params: Mapping[str, Any], key: str, wanted: Iterable[str], what: str) -> dict[str, Any]:
    """Return some of a field's choices, if any. Raises ParameterError."""
    chosen = list(dict.fromkeys(wanted))
    choices = _choices(params, key)
    for each in chosen:
        if each not in choices:
            raise ParameterError(f"--{key.replace('_', '-')}", each, what, choices)
    return {key: chosen} if chosen else {}


def _choices(params: Mapping[str, Any], key: str) -> list[str]:
    schema = (params.get(key) or {}).get("schema") or {}
    return [str(each) for each in (schema.get("items") or {}).get("enum") or ()]


def _hint(value: str, known: list[str]) -> str:
    if len(known) == 1 and not root.near(value, known):
        return f"; there is {known[0]}"
    return root.suggestion(value, known)


def _broken(api: client.AirflowApi, loader: str) -> list[client.BrokenFile]:
    """Return the import errors of a loader, given by its path or by the file's stem."""
    try:
        found = list(api.broken_files())
    except errors.ForbiddenError:
        # The right to see the DAG does not imply the right to see these.
        return []
    return [each for each in found if loader in (each.file, PurePosixPath(each.file).stem)]
