"""Every state has a colour, a shape and a word, in words, in the stylesheet and in the templates."""

from __future__ import annotations

import datetime
import itertools
import pathlib
import re

import pytest

import gantry.web
from gantry import inventory, plan, status
from gantry.web.views import rendering, state_badges

WEB = pathlib.Path(gantry.web.__file__).parent
KINDS = (
    plan.DeploymentState, plan.AgentState, plan.ServiceState, status.Progress, status.TaskState, status.ApprovalState,
    inventory.InstanceState,
)  # fmt: skip
SITE = rendering.Site("/gantry")


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_has_a_look(kind: type[state_badges.State]) -> None:
    assert all(state_badges.look(state).word for state in kind)


@pytest.mark.parametrize("kind", KINDS)
def test_states_of_one_colour_differ_in_shape_or_at_least_in_their_word(
    kind: type[state_badges.State],
) -> None:
    every = [state_badges.look(state) for state in kind]
    assert len(set(every)) == len(every)


def test_colour_is_never_the_only_sign() -> None:
    """Two states whose signs are the same but whose colours differ would be told apart by colour alone."""
    for kind in KINDS:
        for one, other in itertools.combinations([state_badges.look(state) for state in kind], 2):
            assert one.shape != other.shape or one.tone == other.tone or one.word != other.word


def test_the_same_word_of_two_enums_is_not_mixed_up() -> None:
    """Members of two enums are equal when their words are: a server that starts is no service that starts."""
    assert state_badges.look(plan.ServiceState.STOPPED) == state_badges.look(plan.DeploymentState.STOPPED)
    assert state_badges.look(status.TaskState.FAILED).shape is state_badges.Shape.CROSS
    assert state_badges.look(inventory.InstanceState.STOPPED).tone is state_badges.Tone.QUIET


@pytest.mark.parametrize("tone", state_badges.Tone)
def test_the_stylesheet_has_every_colour(tone: state_badges.Tone) -> None:
    assert re.search(
        rf"^(:root.*)?\.{tone}(,.*)? \{{$", (WEB / "static/gantry.css").read_text(), re.MULTILINE
    )


@pytest.mark.parametrize("shape", state_badges.Shape)
def test_every_shape_is_drawn(shape: state_badges.Shape) -> None:
    drawn = rendering._environment().from_string(
        '{% from "icons.html.jinja" import shape %}{{ shape(name) }}'
    )
    assert re.match("<(path|circle|rect)", drawn.render(name=shape))


def test_a_badge_says_its_word_and_hides_its_sign_from_readers() -> None:
    badge = _macro("badge(state)", state=plan.ServiceState.IMPAIRED)
    assert "IMPAIRED" in badge
    assert 'class="badge warning"' in badge
    assert 'aria-hidden="true"' in badge


def test_what_is_shown_is_escaped() -> None:
    assert "<script>" not in _macro("error(text, text, text)", text="<script>alert(1)</script>")
    assert "<script>" not in _macro("crumbs([(text, text)])", text='"><script>alert(1)</script>')


def test_times_are_for_the_script_and_in_utc_for_those_without() -> None:
    berlin = datetime.timezone(datetime.timedelta(hours=1))
    said = _macro("time(moment)", moment=datetime.datetime(2026, 11, 27, 10, 5, 7, tzinfo=berlin))
    assert said == '<time datetime="2026-11-27T09:05:07Z" data-time>2026-11-27 09:05:07 UTC</time>'


def test_pages_have_no_inline_script_and_no_inline_style() -> None:
    for file in sorted((WEB / "templates").rglob("*.jinja")):
        text = file.read_text()
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=|hx-on|javascript:|\|\s*safe", text), file
        assert not re.search(r"<script(?![^>]*\ssrc=)", text), file


def test_static_files_are_named_with_what_is_in_them() -> None:
    assert re.fullmatch(r"/gantry/static/gantry\.css\?[0-9a-f]{12}", SITE.static("gantry.css"))
    page = rendering.render("base.html.jinja", SITE)
    for name in re.findall(r'/gantry/static/([^"?]+)\?', page):
        assert (WEB / "static" / name).is_file()
    assert page.count("<script") == 4


def _macro(call: str, **known: object) -> str:
    text = '{% import "parts.html.jinja" as ui with context %}{{ ui.' + call + " }}"
    return rendering._environment().from_string(text).render(site=SITE, **known)
