"""Which archives a step's jobs leave on a server. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gantry import names
from gantry.agent import jobs
from gantry.reconcile import service_work

Archives = Mapping[names.ServiceId, str | None]
"""Versions by service; None if an installation has begun and not finished."""


def in_marks(marks: service_work.Marks) -> Archives:
    """Return the versions that a server reports."""
    return {_service(key): value for key, value in marks.items() if _is_archive(key)}


def changed(progress: jobs.ServerProgress) -> Archives:
    """Return what the jobs have changed so far, according to the server's marks."""
    found: dict[names.ServiceId, str | None] = {}
    for number, job in enumerate(_begun(progress)):
        found.update({_service(key): None for key in (*job.unmark, *job.forgets) if _is_archive(key)})
        if number < progress.index:
            # Marks that a script writes itself are known from the server only: the digest of what it has fetched.
            noted = {key: progress.found.get(key, value) for key, value in job.notes} | dict(
                job.noted[len(job.notes) :]
            )
            found.update({_service(key): value for key, value in noted.items() if _is_archive(key)})
    return found


def _begun(progress: jobs.ServerProgress) -> Iterator[jobs.Job]:
    yield from progress.jobs[: progress.index]
    if progress.asked or progress.started:
        yield from progress.jobs[progress.index : progress.index + 1]


def _is_archive(key: str) -> bool:
    return key.endswith("/archive")


def _service(key: str) -> names.ServiceId:
    return names.ServiceId(key.partition("/")[0])
