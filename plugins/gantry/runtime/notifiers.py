"""Airflow notifiers made from the definition, and the callback for missed deadlines.

Not imported for a definition without notifications.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import BaseNotifier

from gantry import errors

DEADLINE_PASSED = "gantry.runtime.notifiers.deadline_passed"
"""The path of the callback that Airflow calls when a deadline has passed."""


class NotifierError(errors.GantryError):
    """A notifier cannot be used.

    Attributes:
        reason: what is wrong with it.
        key: the invalid key of its `kwargs`, `""` for all of them together, or None for the class itself.
        known: the keys that it accepts, if one is unknown.
    """

    def __init__(self, reason: str, key: str | None = None, known: Sequence[str] = ()) -> None:
        self.reason = reason
        self.key = key
        self.known = tuple(known)
        super().__init__(reason)


def make(notifier: str, kwargs: Mapping[str, Any]) -> BaseNotifier:
    """Create a notifier: import its class and call it.

    Raises:
        NotifierError: the class does not exist, is not a notifier, or does not accept these arguments.
    """
    found = _class(notifier)
    try:
        return found(**kwargs)
    except Exception as error:
        raise _refused(found, error) from error


async def deadline_passed(notifiers: Sequence[Mapping[str, Any]], context: dict[str, Any]) -> None:
    """Send notifications about a launch that is not over in time. Called by the triggerer.

    Args:
        notifiers: as the definition has them, each with `notifier` and `kwargs`.
        context: `dag_run` as Airflow's API shows it, and `deadline`.

    Raises:
        ExceptionGroup: the errors of those that failed, after all others were called.
    """
    run = context.get("dag_run") or {}
    # What templates call them everywhere else.
    known = {
        **context,
        "dag_run": {**run, "run_id": run.get("dag_run_id")},
        "run_id": run.get("dag_run_id"),
        "reason": "deadline",
    }
    told = await asyncio.gather(
        # In threads: most notifiers can only be called the blocking way.
        *(asyncio.to_thread(_tell, each, dict(known)) for each in notifiers),
        return_exceptions=True,
    )
    failures = [each for each in told if isinstance(each, Exception)]
    if failures:
        raise ExceptionGroup("not all notifications that the deadline has passed could be sent", failures)


def _tell(notifier: Mapping[str, Any], context: dict[str, Any]) -> None:
    make(notifier["notifier"], notifier["kwargs"])(context)


def _class(notifier: str) -> type[BaseNotifier]:
    module, _, name = notifier.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:
        # A custom notifier may raise any exception.
        raise NotifierError(f"{notifier} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, type) or not issubclass(found, BaseNotifier) or found is BaseNotifier:
        raise NotifierError(f"{notifier} is not a notifier: not a subclass of airflow.sdk.BaseNotifier")
    return found


def _refused(notifier: type[BaseNotifier], error: Exception) -> NotifierError:
    words = str(error)
    if isinstance(error, TypeError) and (unexpected := _UNEXPECTED.search(words)):
        known = [
            name
            for name, each in inspect.signature(notifier).parameters.items()
            if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD) and name != "context"
        ]
        return NotifierError(f"{notifier.__name__} does not take it", unexpected[1], known)
    if isinstance(error, TypeError) and (missing := _MISSING.search(words)):
        return NotifierError(f"{notifier.__name__} needs {missing[1].replace(chr(39), '')} as well", "")
    return NotifierError(f"{notifier.__name__} refuses this: {type(error).__name__}: {words}", "")


_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")
_MISSING = re.compile(r"missing \d+ required (?:positional|keyword-only) arguments?: (.+)")
