"""Approvals and notifications: who is asked before a launch, and who is notified of its result."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from gantry.definition.fields import DottedName, Duration, Json, Model


class Notifier(Model):
    """One of Airflow's notifiers: a class that sends a notification."""

    notifier: DottedName = Field(
        description="The class: a `BaseNotifier` of a provider or of your own.",
        examples=["airflow.providers.smtp.notifications.smtp.SmtpNotifier"],
    )
    kwargs: dict[str, Json] = Field(
        default_factory=dict,
        description=(
            "The arguments that it is created with. Texts are templates of Airflow where the notifier says so. "
            "Secrets belong in its connection."
        ),
        examples=[{"to": "team@example.com", "subject": "{{ dag_run.dag_id }} is RUNNING"}],
    )


Notifiers = Annotated[tuple[Notifier, ...], Field(min_length=1)]


class AssignedUser(Model):
    """A user of Airflow who may answer."""

    id: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="The user's id in Airflow's user management.", examples=["7"]
    )
    name: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="The user's name, as the page shows it.", examples=["ada"]
    )


class Approval(Model):
    """A person has to agree before anything is started."""

    subject: Annotated[str, Field(min_length=1, max_length=500)] | None = Field(
        default=None,
        description=(
            "The question; a template of Airflow, for launches, scalings and recoveries alike. Left out: the purpose "
            "of the run, as a question."
        ),
        examples=["Launch the shop for {{ params.reason }}?"],
    )
    body: str | None = Field(
        default=None,
        description=(
            "Markdown below it; a template of Airflow. Each operation has `params` of its own. Left out: the values "
            "of the form."
        ),
        examples=["Tell **support** first."],
    )
    assigned_users: tuple[AssignedUser, ...] = Field(
        default=(),
        description="Who may answer. Left out: anyone who may run the DAG.",
        examples=[[{"id": "7", "name": "ada"}]],
    )
    response_timeout: Duration | None = Field(
        default=None,
        description="How long to wait for the answer; then the launch fails. Left out: no limit.",
        examples=["8h"],
    )
    notifiers: tuple[Notifier, ...] = Field(
        default=(),
        description="Who is notified that an answer is needed.",
        examples=[[{"notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier"}]],
    )


class Deadline(Model):
    """When a launch should be over. After that it continues, and notifications are sent."""

    interval: Duration = Field(
        description="From the moment that the launch is queued, waiting for an approval included.",
        examples=["30m"],
    )
    callback: Notifiers = Field(
        description="Who is notified when it has passed.",
        examples=[[{"notifier": "airflow.providers.smtp.notifications.smtp.SmtpNotifier"}]],
    )
