"""DAG bundles: a deployment is operated from one of them. Airflow itself does not report two with the same DAG.

It uses the one that its DAG processor has read last, for each task of a run again. So a run is compared with the last
one when it has its turn, and each of its tasks with that.
"""

from __future__ import annotations

from airflow.sdk import Context

from gantry import errors, requests
from gantry.reconcile import step_run
from gantry.state import store_record


class OtherBundleError(errors.GantryError):
    """The definition is in another DAG bundle than that of the last operation.

    Attributes:
        deployment: the deployment.
        known: the bundle that it is operated from.
        own: the bundle of the run's definition.
    """

    def __init__(self, deployment: str, known: str, own: str) -> None:
        self.deployment = deployment
        self.known = known
        self.own = own
        super().__init__(
            f"deployment {deployment!r} is operated from the DAG bundle {known!r}, and the definition of this run is "
            f"in the bundle {own!r}: nothing was done\n"
            f"{_keep_one(deployment, known, own)} If the definition has moved to {own!r} on purpose, launch once with "
            f"{own!r} in the field 'New DAG bundle' (gantry launch {deployment} --new-bundle {own})"
        )


class MixedBundlesError(errors.GantryError):
    """Airflow has given a task another definition than the one that its run began with. Attributes as above."""

    def __init__(self, deployment: str, known: str, own: str) -> None:
        self.deployment = deployment
        self.known = known
        self.own = own
        super().__init__(
            f"this run has begun with deployment {deployment!r} of the DAG bundle {known!r}, and Airflow has given "
            f"this task the definition in the bundle {own!r}: the task has done nothing\n"
            f"{_keep_one(deployment, known, own)} Then clear this task, or launch again"
        )


def of(context: Context) -> str:
    """Return the name of the bundle that the running task's DAG was read from; empty if it is from none."""
    return str(getattr(getattr(context["ti"], "bundle_instance", None), "name", None) or "")


def refuse_other(run: step_run.StepRun, record: store_record.StoreRecord | None, own: str) -> None:
    """Refuse a run from another bundle than the last one's. Raises OtherBundleError.

    It may be another one if the form says so, and if Airflow no longer has the last one: then it was renamed, or its
    deployments have moved.
    """
    known = "" if record is None else record.bundle
    if not known or not own or known == own:
        return
    if run.asked(requests.MovableRequest).new_bundle == own or known not in _configured():
        return
    raise OtherBundleError(run.deployment, known, own)


def refuse_mixed(context: Context, run: step_run.StepRun) -> None:
    """Refuse a task whose definition is not in the bundle of the run's first task. Raises MixedBundlesError."""
    own = of(context)
    if run.bundle and own and run.bundle != own:
        raise MixedBundlesError(run.deployment, run.bundle, own)


def _configured() -> frozenset[str]:
    # The task was found by it, so it is loaded.
    from airflow.dag_processing.bundles.manager import DagBundlesManager  # noqa: PLC0415 - not for DAG files

    manager = DagBundlesManager()  # type: ignore[no-untyped-call] # Airflow's own signature
    return frozenset(manager.get_all_bundle_names())


def _keep_one(deployment: str, known: str, own: str) -> str:
    return (
        f"If both bundles define it, Airflow uses the one that it has read last: give the deployment in {own!r} or "
        f"{known!r} another name than {deployment!r}, or remove it there."
    )
