"""Load what every task needs once, in the process that tasks are forked from.

A task of Gantry needs asyncssh and boto3, whose imports take longer than most of its work. With the LocalExecutor a
task is a fork of the scheduler; with every executor a DAG file is parsed in a fork of the DAG processor, and triggers
run in a fork of the triggerer. What the parent has loaded costs the fork nothing.
"""

from __future__ import annotations

import importlib

from airflow.listeners import hookimpl

_NEEDED_BY_TASKS = (
    "airflow.providers.amazon.aws.hooks.base_aws",
    "airflow.providers.standard.operators.empty",
    "asyncssh",
    "botocore.client",
    "cryptography.hazmat.primitives.asymmetric.rsa",
    "cryptography.hazmat.primitives.serialization",
    "cryptography.x509",
    "gantry.cloud.clients",
    "gantry.cloud.service_models",
    "gantry.dag",
    "gantry.definition.template_checks",
    "gantry.operators.registry",
    "httpx",
)


@hookimpl
def on_starting(component: object) -> None:
    """Called by Airflow before a scheduler, DAG processor or triggerer begins, and when a task starts.

    Args:
        component: a job, which forks, or what stands for a task, which would only wait for what it may not need.
    """
    # Airflow calls while it still makes the job: there is a `job_type`, but it does not say yet which.
    if hasattr(component, "job_type"):
        load()


def load() -> None:
    """Load what every task needs."""
    for module in _NEEDED_BY_TASKS:
        importlib.import_module(module)
    # An asset has Airflow ask every provider how it writes its URIs, once in a process.
    importlib.import_module("gantry.dag.compile").deployment_asset("any")
    # Each client would read EC2's model again: in a fork, before its first call.
    importlib.import_module("gantry.cloud.service_models").load()
