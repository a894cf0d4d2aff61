"""Notifications and approvals of a DAG: the approval task, callbacks, the deadline.

`gantry.runtime.notifiers` and `gantry.operators.approval` are loaded only for definitions that need them: every task
start builds its DAG again.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow.sdk import BaseOperator, Param
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from gantry.definition import models, references, source
from gantry.runtime import task_run

Callbacks = dict[str, Any]
"""Airflow's keywords for callbacks, without those that are not configured."""


def findings(definition: models.Definition) -> Iterator[references.Finding]:
    """Yield unusable notifiers. Only here Airflow and the packages installed with it are available."""
    every = tuple(_all(definition))
    if not every:
        return
    from gantry.runtime import notifiers as notifying  # noqa: PLC0415 - see the head of this module

    for path, notifier in every:
        try:
            notifying.make(notifier.notifier, notifier.kwargs)
        except notifying.NotifierError as error:
            if error.key is None:
                yield (*path, "notifier"), error.reason
            elif not error.key:
                yield (*path, "kwargs"), error.reason
            else:
                yield (*path, "kwargs", error.key), references.unknown("key", error.key, error.known)


def on_success(definition: models.Definition) -> Callbacks:
    """Return the callbacks of the task that marks the deployment RUNNING."""
    return _callbacks("on_success_callback", definition.on_success_callback)


def on_failure(definition: models.Definition) -> Callbacks:
    """Return the callbacks of a DAG."""
    return _callbacks("on_failure_callback", definition.on_failure_callback)


def time_limits(definition: models.Definition) -> dict[str, Any]:
    """Return the limits of the launch's DAG: its timeout, and the deadline after which notifications are sent.

    Airflow skips all tasks of a run that times out. If one has to clean up, the steps themselves end the run's work in
    time (`step_run.StepRun.until`), and Airflow only what is left after that.
    """
    limits: dict[str, Any] = {}
    if definition.dagrun_timeout is not None:
        cleans_up = definition.on_failure == "remove_new"
        limits["dagrun_timeout"] = definition.dagrun_timeout + (
            task_run.CLEAN_UP_TIME if cleans_up else datetime.timedelta()
        )
    if definition.deadline is not None:
        from gantry.runtime import notifiers as notifying  # noqa: PLC0415 - see the head of this module

        limits["deadline"] = DeadlineAlert(
            name="launch",
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=definition.deadline.interval,
            # Called in the triggerer, which a launch needs anyway; not every executor runs callbacks.
            callback=AsyncCallback(
                notifying.DEADLINE_PASSED,
                {"notifiers": [each.model_dump(mode="json") for each in definition.deadline.callback]},
            ),
        )
    return limits


def approve(
    question: str,
    form: Mapping[str, Param],
    approval: models.Approval,
    **common: Any,  # noqa: ANN401 - Airflow's keywords
) -> BaseOperator:
    """Return the task that asks for approval before anything is started.

    Args:
        question: the question, unless the definition has its own.
        form: the operation's form. Its values are shown with the question.
        approval: who is asked, and how.
        common: the keywords that every task has.
    """
    from gantry.operators import approval as approvals  # noqa: PLC0415 - see the head of this module

    return approvals.ApproveOperator(
        subject=approval.subject or question,
        body=approval.body or _body(form),
        assigned_users=[each.model_dump() for each in approval.assigned_users] or None,
        response_timeout=approval.response_timeout,
        notifiers=_made(approval.notifiers),
        params=approvals.form(),
        # Not retried after the time to answer has passed.
        retries=0,
        **common,
    )


def _body(form: Mapping[str, Param]) -> str:
    """Return the values of a run's form, as Markdown that Airflow renders for the approval."""
    rows = [f"| {param.schema['title']} | {_entered(name, param)} |" for name, param in form.items()]
    return "\n".join(("| field | entered |", "|---|---|", *rows))


def _entered(name: str, param: Param) -> str:
    """Return a template of a field's value. A table cell contains one line, without bars."""
    known, kind, empty = f"params['{name}']", param.schema["type"], "-"
    if kind == "array":
        known = f"{known} | join(', ')"
    elif kind == "boolean":
        known = f"'yes' if {known} else 'no'"
    elif "null" in kind:
        known, empty = f"'' if {known} is none else {known}", "as the schedule says, or as it is"
    return f"{{{{ (({known}) | string).split() | join(' ') | replace('|', '/') or '{empty}' }}}}"


def _all(definition: models.Definition) -> Iterator[tuple[source.Path, models.Notifier]]:
    several: list[tuple[source.Path, Sequence[models.Notifier]]] = [
        (("on_success_callback",), definition.on_success_callback),
        (("on_failure_callback",), definition.on_failure_callback),
    ]
    if definition.approval is not None:
        several.append((("approval", "notifiers"), definition.approval.notifiers))
    if definition.deadline is not None:
        several.append((("deadline", "callback"), definition.deadline.callback))
    for path, notifiers in several:
        for index, notifier in enumerate(notifiers):
            yield (*path, index), notifier


def _callbacks(name: str, notifiers: Sequence[models.Notifier]) -> Callbacks:
    return {name: _made(notifiers)} if notifiers else {}


def _made(notifiers: Sequence[models.Notifier]) -> list[Any]:
    if not notifiers:
        return []
    from gantry.runtime import notifiers as notifying  # noqa: PLC0415 - see the head of this module

    return [notifying.make(each.notifier, each.kwargs) for each in notifiers]
