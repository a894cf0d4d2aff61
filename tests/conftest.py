"""For all tests: signals as they are at a terminal, an Airflow home of their own, and who runs beside whom."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests import owner, schedule, timing

# Airflow takes its home, and the database in it, from where it is imported first. Whichever test that is, nobody's own
# home is touched, and nothing is there that an earlier run has left. A worker of pytest-xdist inherits the home of the
# process that started it, and has a folder of its own there, which that process removes.
if _worker := os.environ.get("PYTEST_XDIST_WORKER"):
    _folder = Path(os.environ["AIRFLOW_HOME"], _worker)
    _folder.mkdir()
    os.environ["AIRFLOW_HOME"] = str(_folder)
else:
    # In memory where that is: a disk that has other work makes each commit of SQLite's take its time.
    _memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    _home = tempfile.TemporaryDirectory(
        prefix="gantry-tests-airflow-", dir=_memory, ignore_cleanup_errors=True
    )
    os.environ["AIRFLOW_HOME"] = _home.name


def pytest_configure(config: pytest.Config) -> None:
    """Say at the end where the time went."""
    config.pluginmanager.register(timing.Timing(), "gantry-timing")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Tests on an Airflow of several machines run only where they are asked for: `make test-cluster`."""
    if collection_path != _CLUSTER or any(_is_below(each, _CLUSTER) for each in config.args):
        return None
    return True


def _is_below(argument: str, folder: Path) -> bool:
    """Whether an argument of pytest's names a folder or something in it."""
    return Path(argument.partition("::")[0]).absolute().is_relative_to(folder)


# Asked to end, a run cleans up like one that was interrupted at the keyboard.
for _number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(_number, signal.default_int_handler)

# What runs in the background of a script ignores these, and so would all that the tests start.
for _number in (signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Keys are made anew in each process, and workers compare the names of their tests."""
    return argname if isinstance(val, str | bytes) and "PRIVATE KEY" in str(val) else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Say which tests stay together in one of pytest's workers, and which begin first.

    As a wrapper it comes before pytest-xdist, which writes the groups into the names of the tests.
    """
    schedule.arrange(items)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_sessionstart(session: pytest.Session) -> Iterator[None]:
    """The process that distributes the tests owns what they share."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        session.config.stash[_OWNER] = owner.Owner()
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """All workers are over."""
    if (found := config.stash.get(_OWNER, None)) is not None:
        found.close()


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """Takes back what a test does to the logs of its process.

    Airflow sets them up again with each of its commands and applications, and writes to the standard output of that
    moment, which is closed when the test is over.
    """
    settings, known = structlog.get_config(), _set_up()
    yield
    structlog.configure(**settings)
    for logger, now in _set_up().items():
        logger.level, logger.handlers[:], logger.disabled, logger.propagate = known.get(logger, now)
    logging.getLogger().manager._clear_cache()  # type: ignore[attr-defined]


def _set_up() -> dict[logging.Logger, tuple[int, list[logging.Handler], bool, bool]]:
    """The level, the handlers and the switches of each logger."""
    known = [logging.getLogger(), *logging.getLogger().manager.loggerDict.values()]
    return {
        each: (each.level, each.handlers[:], each.disabled, each.propagate)
        for each in known
        if isinstance(each, logging.Logger)
    }


@pytest.fixture(autouse=True)
def _masks_as_they_were() -> Iterator[None]:
    """Takes back what a test has masked: in the texts of the tests after it, such a word would be stars."""
    before = _masks()
    yield
    if (masker := _masker()) is not None:
        masker.patterns, masker.replacer = before


def _masks() -> tuple[set[str], Any]:
    masker = _masker()
    return (set(), None) if masker is None else (set(masker.patterns), masker.replacer)


def _masker() -> Any:
    """Airflow's, if it is loaded: most tests do not need it."""
    module = sys.modules.get("airflow.sdk._shared.secrets_masker")
    return None if module is None else module._secrets_masker()


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Notice a test that leaves signals ignored: every process that is started after it would ignore them too."""
    before = _ignored()
    yield
    assert _ignored() == before


def _ignored() -> set[signal.Signals]:
    ends = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    return {each for each in ends if signal.getsignal(each) is signal.SIG_IGN}


_CLUSTER = Path(__file__).with_name("cluster")
_OWNER = pytest.StashKey[owner.Owner]()
