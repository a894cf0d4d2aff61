"""Which archives a step's jobs leave on a server. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gantry import names
from gantry.agent import jobs, work

Archives = Mapping[names.ServiceId, str | None]
"""Versions by service; None where an installation has begun and not finished."""


def in_marks(marks: work.Marks) -> Archives:
    """What a server says."""
    return {_service(key): value for key, value in marks.items() if _is_archive(key)}


def changed(progress: jobs.Progress) -> Archives:
    """What the jobs have changed so far, as the server has noted it."""
    found: dict[names.ServiceId, str | None] = {}
    for number, job in enumerate(_begun(progress)):
        found.update({_service(key): None for key in job.unmark if _is_archive(key)})
        if number < progress.index and job.mark is not None and _is_archive(job.mark[0]):
            found[_service(job.mark[0])] = job.mark[1]
    return found


def _begun(progress: jobs.Progress) -> Iterator[jobs.Job]:
    yield from progress.jobs[: progress.index]
    if progress.asked or progress.started:
        yield from progress.jobs[progress.index : progress.index + 1]


def _is_archive(key: str) -> bool:
    return key.endswith("/archive")


def _service(key: str) -> names.ServiceId:
    return names.ServiceId(key.partition("/")[0])
