"""What becomes of servers, and what is noted of those that stay."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import pytest

from gantry import definition, errors, inventory, names, requests
from gantry.preview import scaling
from gantry.preview.report import Action

from .stages import DEFINITION, Story

KNOWN = definition.loads(DEFINITION)


@dataclasses.dataclass(frozen=True)
class Cloud:
    """A cloud with these servers and images."""

    servers: tuple[inventory.Server, ...] = ()
    images: tuple[str, ...] = ("ami-1",)
    leaving: tuple[inventory.Server, ...] = ()

    def find(self) -> inventory.Inventory:
        return inventory.Inventory(self.servers, self.leaving)

    def image_id(self, image: str) -> str:
        if image not in self.images:
            raise errors.GantryError(f"no image {image}")
        return image


def server(short: str, **facts: Any) -> inventory.Server:
    return dataclasses.replace(
        Story().but(addresses={short: "10.0.0.9"}).server(short), image="ami-1", **facts
    )


def scale(cloud: Cloud, **servers: int) -> scaling.Scaled:
    wanted = requests.LaunchRequest(servers=servers).sizes(KNOWN)
    return scaling.scale(cast("Any", cloud), KNOWN, wanted)


def actions(found: scaling.Scaled) -> dict[str, Action]:
    return {name.removeprefix("bookshop-"): action for name, action in found.actions.items()}


def test_what_is_missing_is_started_what_is_stopped_is_resumed_and_gaps_are_filled() -> None:
    stopped = server("application-3", state=inventory.InstanceState.STOPPED)
    assert actions(scale(Cloud((server("database-1"), stopped)), application=3)) == {
        "database-1": Action.KEEP,
        "application-1": Action.START,
        "application-2": Action.START,
        "application-3": Action.RESUME,
        "proxy-1": Action.START,
    }


def test_a_server_that_is_not_what_its_launch_configuration_says_is_kept_and_noted() -> None:
    found = scale(Cloud((server("database-1", size="m7g.large"),)))
    name = names.ServerName("bookshop-database-1")
    assert found.notes[name] == (
        "is a m7g.large, the launch configuration says t3.small; a launch replaces no server",
    )
    other = dataclasses.replace(server("database-1"), image="ami-0")
    (note,) = scale(Cloud((other,))).notes[name]
    assert note == "runs the image ami-0, the launch configuration says ami-1; a launch replaces no server"


def test_an_image_that_is_gone_matters_only_where_servers_are_to_be_started() -> None:
    everything = tuple(map(server, ("database-1", "application-1", "application-2", "proxy-1")))
    kept = scale(Cloud(everything, images=()))
    assert kept.notes[names.ServerName("bookshop-proxy-1")] == (
        "its image cannot be compared: no image ami-1",
    )
    with pytest.raises(errors.GantryError, match="no image ami-1"):
        scale(Cloud(everything[:-1], images=()))


def test_servers_too_many_and_of_a_tier_that_is_gone_stay_and_are_noted() -> None:
    servers = tuple(
        server(each)
        for each in ("database-1", "application-1", "application-2", "application-3", "cache-1", "proxy-1")
    )
    found = scale(Cloud(servers))
    assert set(actions(found).values()) == {Action.KEEP}
    assert "more servers than the 2 wanted" in found.notes[names.ServerName("bookshop-application-3")][0]
    assert "no tier cache any more" in found.notes[names.ServerName("bookshop-cache-1")][0]
    reported = {each.name: each for each in found.report(KNOWN, {})}
    assert reported[names.ServerName("bookshop-cache-1")].action is Action.KEEP


def test_the_limits_of_a_tier_hold_as_in_the_form() -> None:
    with pytest.raises(requests.ServerCountError, match="7 servers are wanted, and its limits are 2 to 6"):
        scale(Cloud(), application=7)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (
            requests.LaunchRequest(servers={"aplication": 3}),
            "--servers: unknown tier 'aplication', did you mean 'application'?",
        ),
        (requests.LaunchRequest(redeploy=("xyz",)), "--redeploy: unknown service 'xyz'; there are app, db"),
        (
            requests.LaunchRequest(converge=("proxy",)),
            "--converge: unknown tier with configuration management 'proxy'; there are none",
        ),
    ],
)
def test_what_the_form_does_not_offer_is_refused(wanted: requests.LaunchRequest, said: str) -> None:
    with pytest.raises(requests.UnknownChoiceError) as raised:
        wanted.check_for(KNOWN)
    assert str(raised.value) == said


EVERYBODY = ("database-1", "application-1", "application-2", "proxy-1")


def test_what_a_scale_in_has_chosen_is_removed_and_its_slot_is_free() -> None:
    leaving = server("application-3")
    found = scale(Cloud(tuple(map(server, EVERYBODY)), leaving=(leaving,)))
    assert set(actions(found).values()) == {Action.KEEP}
    (removed,) = [each for each in found.report(KNOWN, {}) if each.action is Action.REMOVE]
    assert (removed.name, removed.instance) == ("bookshop-application-3", leaving.instance_id)
    more = scale(Cloud(tuple(map(server, EVERYBODY)), leaving=(leaving,)), application=3)
    told = [(each.name, each.action) for each in more.report(KNOWN, {}) if each.name == leaving.name]
    assert told == [(leaving.name, Action.START), (leaving.name, Action.REMOVE)]


def test_what_a_tier_was_scaled_to_is_wanted_as_in_a_launch() -> None:
    first = server("application-1", wanted=3)
    found = scale(Cloud((server("database-1"), first, server("application-2"), server("proxy-1"))))
    assert actions(found)["application-3"] is Action.START
