"""Preloads modules that every task needs, in the process that tasks are forked from.

A task of Gantry needs asyncssh and boto3, whose imports take longer than most of its work. With the LocalExecutor a
task is a fork of the scheduler; with every executor a DAG file is parsed in a fork of the DAG processor, and triggers
run in a fork of the triggerer. Modules that the parent has loaded cost the fork nothing.
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
    """Preload in a scheduler, DAG processor or triggerer.

    Called by Airflow before these begin, and when a task starts.

    Args:
        component: a job, which forks; or an object for a task, in which preloading would only cost time.
    """
    # Airflow calls this while it is still creating the job: there is a `job_type`, but without its value yet.
    if hasattr(component, "job_type"):
        load()


def load() -> None:
    """Load what every task needs."""
    for module in _NEEDED_BY_TASKS:
        importlib.import_module(module)
    # Creating an asset makes Airflow ask every provider for its URI formats, once per process.
    importlib.import_module("gantry.dag.compile").deployment_asset("any")
    # Otherwise each client would read EC2's model again: in a fork, before its first call.
    importlib.import_module("gantry.cloud.service_models").load()
