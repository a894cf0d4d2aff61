"""Load what every task needs once, in the process that tasks are forked from.

A task of Gantry needs asyncssh and boto3, whose imports take longer than most of its work. With the
LocalExecutor a task is a fork of the scheduler: what the scheduler has loaded costs the task nothing. With other
executors this does nothing.
"""

from __future__ import annotations

import importlib
from typing import Protocol

from airflow.listeners import hookimpl

_NEEDED_BY_TASKS = (
    "airflow.providers.amazon.aws.hooks.base_aws",
    "airflow.providers.standard.operators.empty",
    "asyncssh",
    "botocore.client",
    "gantry.cloud.clients",
    "gantry.dag",
    "gantry.operators.catalog",
)


class _Component(Protocol):
    job_type: str


@hookimpl
def on_starting(component: _Component) -> None:
    """Called by Airflow before a scheduler, triggerer or other job begins, and so before anything is forked."""
    if getattr(component, "job_type", None) == "SchedulerJob":
        for module in _NEEDED_BY_TASKS:
            importlib.import_module(module)
        # An asset has Airflow ask every provider how it writes its URIs, once in a process.
        importlib.import_module("gantry.dag.compile").deployment_asset("any")
