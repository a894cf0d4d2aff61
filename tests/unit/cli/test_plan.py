"""`gantry plan` as people see it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gantry import names
from gantry.cli import app, plan_text
from gantry.plan import StepKind
from gantry.preview import report
from gantry.preview.report import Action, Call, Change, Server


def server(name: str, action: Action = Action.KEEP, **more: object) -> Server:
    facts: dict[str, object] = {
        "instance": "i-1", "address": "10.0.0.1", "image": "ami-1", "size": "t3.small", **more
    }  # fmt: skip
    return Server(names.ServerName(name), names.TierName("web"), action, **facts)  # type: ignore[arg-type]


def change(name: str, **more: object) -> Change:
    facts: dict[str, object] = {
        "calls": (Call("stopService", ("a1",)), Call("startService", ("a1",))),
        "reasons": ("enstratus.cfg changes",),
        "restarts": True,
        "diff": ("--- a", "+++ a", "@@ -1 +1 @@", "-a=1", f"+a=[{name}]"),
        **more,
    }
    return Change("service-page.configure", StepKind.CONFIGURE, names.ServerName(name), **facts)  # type: ignore[arg-type]


def shown(found: report.Report, *, diffs: bool = True) -> str:
    out = io.StringIO()
    plan_text.show(found, Console(file=out, soft_wrap=True, highlight=False), diffs=diffs)
    return out.getvalue()


SHOP = names.DeploymentName("shop")


def test_nothing_to_do_is_one_line_beside_the_servers() -> None:
    assert shown(report.Report(SHOP, (server("shop-web-1"),))) == (
        "Servers\n"
        "  = shop-web-1  keep    10.0.0.1  i-1\n"
        "\n"
        "Nothing to do: a launch of shop now would change nothing.\n"
    )


def test_every_fate_of_a_server_has_its_sign() -> None:
    servers = tuple(server(f"shop-web-{number}", action) for number, action in enumerate(Action, start=1))
    signs = [line.split()[0] for line in shown(report.Report(SHOP, servers)).splitlines()[1:6]]
    assert signs == ["+", "~", "=", "~", "-"]
    assert "servers 1 to start, 1 to resume, 1 to keep, 1 to replace, 1 to remove" in shown(
        report.Report(SHOP, servers)
    )


def test_changes_stand_below_their_step_with_reason_and_diff() -> None:
    found = report.Report(SHOP, (server("shop-web-1"),), changes=(change("shop-web-1"),))
    assert (
        "service page: configure\n"
        "  ~ shop-web-1: stopService → startService (enstratus.cfg changes)\n"
        "      --- a\n"
        "      +++ a\n"
        "      @@ -1 +1 @@\n"
        "      -a=1\n"
        "      +a=[shop-web-1]\n"
        "\n"
        "Plan for shop: servers 1 to keep; 1 configuration file changes, 1 restart.\n"
    ) in shown(found)
    assert "-a=1" not in shown(found, diffs=False)


def test_servers_for_which_the_same_happens_share_a_line() -> None:
    same = tuple(change(f"shop-web-{number}", diff=()) for number in (1, 2))
    assert "~ shop-web-1, shop-web-2: stopService" in shown(report.Report(SHOP, (), changes=same))


def test_what_is_unknown_is_no_promise_that_there_is_nothing_to_do() -> None:
    found = report.Report(SHOP, (server("shop-web-1", unknown="no SSH connection"),))
    assert not found.nothing_to_do
    assert "? what a launch does there is unknown: no SSH connection" in shown(found)
    assert shown(found).endswith("Plan for shop: servers 1 to keep; unknown on 1 server.\n")


def test_the_json_says_first_whether_there_is_something_to_do() -> None:
    found = report.Report(SHOP, (server("shop-web-1"),), changes=(change("shop-web-1"),)).as_json()
    assert list(found) == ["deployment", "nothing_to_do", "servers", "objects", "changes", "repeated"]
    assert found["nothing_to_do"] is False
    assert found["changes"][0]["calls"][0] == {"script": "stopService", "arguments": ["a1"]}


def test_a_number_of_servers_that_is_none_is_a_mistyped_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gantry", "plan", "shop", "--servers", "web"])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 64
    assert "'web' is not TIER=N, such as web=3" in capsys.readouterr().err
