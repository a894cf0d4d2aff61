"""What a launch has to do: every doubt is a reason to run the steps that it concerns, and those after them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, cast

import pytest

from gantry import definition, inventory, names
from gantry.agent import jobs
from gantry.cloud import objects
from gantry.plan import launch_plan
from gantry.preview import balancers, dry_run, probe, report, state, unchanged
from gantry.reconcile import step_run

from . import stages
from .stages import DEFINITION, Story

DATABASE, PROXY = names.ServerName("bookshop-database-1"), names.ServerName("bookshop-proxy-1")


@dataclasses.dataclass(frozen=True)
class Run(step_run.StepRun):
    """A launch of the story's deployment."""

    story: Story = dataclasses.field(kw_only=True)
    new: frozenset[str] = frozenset()

    @property
    def cloud(self) -> Any:
        return None

    @functools.cached_property
    def inventory(self) -> inventory.Inventory:
        found = (self.story.server(each) for each in self.story.addresses)
        return inventory.Inventory(
            tuple(dataclasses.replace(each, is_new=each.name in self.new) for each in found)
        )

    @functools.cached_property
    def objects(self) -> objects.Objects:
        return objects.Objects(
            cast("Any", stages.Storage(self.story.versions)), names.ConnectionId("aws_default")
        )


@dataclasses.dataclass
class Fleet:
    """Servers that answer what they are told to."""

    monkeypatch: pytest.MonkeyPatch
    states: stages.States
    silent: Mapping[names.ServerName, str] = dataclasses.field(default_factory=dict)
    balancer: report.BalancerPreview = dataclasses.field(
        default_factory=lambda: report.BalancerPreview(PROXY)
    )

    asked: list[set[names.ServerName]] = dataclasses.field(default_factory=list)

    def _ask(self, _: object, __: object, only: set[names.ServerName]) -> probe.Answers:
        self.asked.append(only)
        return probe.Answers(
            {name: state for name, state in self.states.items() if name in only},
            {name: why for name, why in self.silent.items() if name in only},
            {},
        )

    def doubt(self, story: Story, *, new: frozenset[str] = frozenset(), **params: Any) -> str | None:
        """Why steps have to run."""
        return self.look(story, new=new, **params).doubt

    def needed(self, story: Story, *, new: frozenset[str] = frozenset(), **params: Any) -> list[str]:
        """The steps that are not skipped, in the order of the plan."""
        found = self.look(story, new=new, **params)
        assert found.doubt is not None
        return [
            step.id for step in launch_plan(definition.loads(story.text)) if step.id not in found.needless
        ]

    def look(
        self, story: Story, *, new: frozenset[str] = frozenset(), **params: Any
    ) -> unchanged.LaunchForecast:
        known = definition.loads(story.text)
        self.asked = []
        self.monkeypatch.setattr(dry_run, "ask", self._ask)
        self.monkeypatch.setattr(balancers, "foresee", lambda *_: (self.balancer,))
        plan = launch_plan(known)
        run = Run(
            definition=known,
            plan=plan,
            step=plan.by_id["find_lost"],
            id="run",
            key=jobs.StepKey("abc.find_lost", "0", "1"),
            wanted={"database": 1, "application": 2, "proxy": 1},
            params=params,
            story=story,
            new=new,
        )
        return unchanged.look(run)


@pytest.fixture
def fleet(monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """The servers after a launch."""
    return Fleet(monkeypatch, stages.with_files(Story().walk()))


def test_after_a_launch_there_is_no_doubt(fleet: Fleet) -> None:
    assert fleet.doubt(Story()) is None
    assert set().union(*fleet.asked) == set(fleet.states), "every server was asked"


def test_what_is_new_everywhere_is_asked_of_one_server_of_each_tier(fleet: Fleet) -> None:
    assert fleet.doubt(Story().but(text=DEFINITION.replace("Hello", "Welcome"))) is not None
    assert [len(each) for each in fleet.asked] == [3, 1]
    # Where no step can be skipped, the others are not asked in vain.
    for name in ("database-1", "application-1", "application-2", "proxy-1"):
        fleet.states = stages.changed(fleet.states, name, stale=("bin/marks",))
    assert fleet.doubt(Story()) is not None
    assert [len(each) for each in fleet.asked] == [3]
    # What is new on another one alone is found all the same.
    fleet.states = stages.with_files(Story().walk())
    fleet.states = stages.changed(fleet.states, "application-2", stale=("bin/marks",))
    assert "bookshop-application-2" in str(fleet.doubt(Story()))


def test_each_kind_of_change_is_a_doubt(fleet: Fleet) -> None:
    greeting = Story().but(text=DEFINITION.replace("Hello", "Welcome"))
    assert fleet.doubt(greeting) == "bookshop-application-1, service-app.update: enstratus.cfg changes"
    archive = fleet.doubt(Story().but(versions={"appService.tar.gz": "2"}))
    assert archive is not None
    assert archive.startswith(
        "bookshop-application-1, tier-application.install_services: the object has changed"
    )
    # Nothing is loaded, which the log of the step says.
    dump = fleet.doubt(Story().but(versions={"datasource.sql": "2"}))
    assert dump is not None
    assert "datasource.sql" in dump or "its content is compared" in dump
    renamed = fleet.doubt(Story().but(tagged={"proxy-1": "shop-proxy-1"}))
    assert renamed == "bookshop-proxy-1, tier-proxy.scale_up: the definition names it so now"


def test_the_steps_before_the_first_with_something_to_do_are_skipped(fleet: Fleet) -> None:
    always = ["turn", "find_lost", "tier-application.scale_up", "tier-proxy.scale_up"]
    last = ["balancer-front.start_proxy", "finish_launch"]
    app = ["service-app.update", "service-app.configure"]

    # What is configured anew on the application's servers leaves the database alone, and all that came before.
    greeting = fleet.needed(Story().but(text=DEFINITION.replace("Hello", "Welcome")))
    assert sorted(greeting) == sorted([*always, *app, *last])
    # A new archive is installed by its tier's step.
    archive = fleet.needed(Story().but(versions={"appService.tar.gz": "2"}))
    assert sorted(archive) == sorted([*always, "tier-application.install_services", *app, *last])
    # All that depends on the database comes after it.
    database = fleet.needed(Story(), redeploy=["db"])
    assert {"service-app.grant_access_on_db", *app}.issubset(database)
    assert "tier-application.install_services" not in database
    # A name in the cloud is changed by the step that starts servers. An update waits for its balancers' agents.
    renamed = fleet.needed(Story().but(tagged={"proxy-1": "shop-proxy-1"}))
    assert {each for each in renamed if each.startswith("tier-")} == {
        "tier-application.scale_up",
        *(step.id for step in launch_plan(definition.loads(DEFINITION)) if step.id.startswith("tier-proxy.")),
    }


def test_where_anything_is_unknown_no_step_is_skipped(fleet: Fleet) -> None:
    every = [step.id for step in launch_plan(definition.loads(DEFINITION))]
    assert fleet.needed(Story(), new=frozenset({"bookshop-proxy-1"})) == every
    fleet.silent = {DATABASE: "no answer within 90 s"}
    assert fleet.needed(Story()) == every


def test_of_a_balancer_alone_only_its_own_step_runs(fleet: Fleet) -> None:
    fleet.balancer = report.BalancerPreview(PROXY, reasons=("it does not run",))
    needed = fleet.needed(Story())
    assert needed == [
        "turn", "find_lost", "tier-proxy.scale_up", "balancer-front.start_proxy", "finish_launch",
    ]  # fmt: skip


def test_what_is_asked_for_is_done_also_where_nothing_has_changed(fleet: Fleet) -> None:
    assert fleet.doubt(Story(), redeploy=["db"]) is not None
    assert fleet.doubt(Story(), reload_dump=["db.catalog"]) is not None


def test_a_server_that_cannot_tell_or_has_other_scripts_is_a_doubt(fleet: Fleet) -> None:
    fleet.silent = {DATABASE: "no answer within 90 s"}
    assert fleet.doubt(Story()) == "bookshop-database-1: no answer within 90 s"
    fleet.silent = {}
    fleet.states = stages.changed(fleet.states, "database-1", stale=("bin/marks",))
    assert "tier-database.handshake" in str(fleet.doubt(Story()))


def test_a_service_whose_check_fails_is_a_doubt(fleet: Fleet) -> None:
    ids: dict[names.ServiceId, str] = {names.ServiceId("a1001"): "it does not run"}
    fleet.states = stages.changed(fleet.states, "database-1", checks=ids)
    assert (
        fleet.doubt(Story()) == "bookshop-database-1, service-db.configure: its check says: it does not run"
    )


def test_a_server_that_no_launch_has_finished_with_is_a_doubt(fleet: Fleet) -> None:
    assert "bookshop-proxy-1 has not" in str(fleet.doubt(Story(), new=frozenset({"bookshop-proxy-1"})))


@pytest.mark.parametrize(
    "facts",
    [
        {"diff": ("+x",)},
        {"reasons": ("it runs with another file",)},
        {"unknown": "no answer"},
        {"refusal": "no"},
    ],
)
def test_a_balancer_that_changes_or_cannot_tell_is_a_doubt(fleet: Fleet, facts: dict[str, Any]) -> None:
    fleet.balancer = report.BalancerPreview(PROXY, **facts)
    assert str(fleet.doubt(Story())).startswith("bookshop-proxy-1: ")


def test_a_state_of_nothing_at_all_is_a_doubt(fleet: Fleet) -> None:
    fleet.states = {**fleet.states, DATABASE: state.ServerState()}
    assert fleet.doubt(Story()) is not None
