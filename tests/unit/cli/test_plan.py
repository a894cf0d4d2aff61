"""`gantry plan` as people see it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gantry import definition, names
from gantry.cli import app
from gantry.cli.commands import plan
from gantry.cli.output import plan_text
from gantry.plan import StepKind
from gantry.preview import report
from gantry.preview.report import Action, Change, ScriptCall, ServerPreview
from gantry.reconcile import data_history
from gantry.state import keys
from tests import airflow_api


def server(name: str, action: Action = Action.KEEP, **more: object) -> ServerPreview:
    facts: dict[str, object] = {
        "instance": "i-1", "address": "10.0.0.1", "image": "ami-1", "size": "t3.small", **more
    }  # fmt: skip
    return ServerPreview(names.ServerName(name), names.TierName("web"), action, **facts)  # type: ignore[arg-type]


def change(name: str, **more: object) -> Change:
    facts: dict[str, object] = {
        "calls": (ScriptCall("stopService", ("a1",)), ScriptCall("startService", ("a1",))),
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


def test_what_could_not_be_found_out_beforehand_is_said_and_is_nothing_to_do() -> None:
    found = report.Report(SHOP, (server("shop-web-1"),), remarks=("tier web: role web: 403\nAsk an admin.",))
    assert found.nothing_to_do
    assert "Could not be determined\n  ? tier web: role web: 403\n    Ask an admin.\n" in shown(found)


def balancer(number: int, **more: object) -> report.BalancerPreview:
    return report.BalancerPreview(names.ServerName(f"shop-proxy-{number}"), "/etc/haproxy.cfg", **more)  # type: ignore[arg-type]


def of_balancers(*found: report.BalancerPreview) -> report.Report:
    return report.Report(SHOP, (server("shop-web-1"),), balancers=found)


def test_a_balancer_that_stays_as_it_is_is_said_and_is_nothing_to_do() -> None:
    found = of_balancers(balancer(1), balancer(2))
    assert found.nothing_to_do
    assert (
        "Configuration of load balancers\n"
        "  = shop-proxy-1, shop-proxy-2: /etc/haproxy.cfg stays as it is\n"
        "\n"
        "Nothing to do"
    ) in shown(found)


def test_a_balancer_that_changes_is_something_to_do_and_shows_its_difference() -> None:
    found = of_balancers(balancer(1, diff=("--- a", "+b")), balancer(2, reasons=("HAProxy does not run",)))
    assert not found.nothing_to_do
    assert (
        "Configuration of load balancers\n"
        "  ~ shop-proxy-1: /etc/haproxy.cfg changes\n"
        "      --- a\n"
        "      +b\n"
        "  ~ shop-proxy-2: /etc/haproxy.cfg; HAProxy does not run\n"
        "\n"
        "Plan for shop: servers 1 to keep; 2 load balancers change.\n"
    ) in shown(found)
    assert "+b" not in shown(found, diffs=False)


def test_what_a_balancer_would_refuse_or_cannot_tell_is_said() -> None:
    refused = of_balancers(balancer(1, refusal="HAProxy refuses it", notes=("unchecked",)))
    assert not refused.nothing_to_do
    assert (
        "  ~ shop-proxy-1: /etc/haproxy.cfg\n"
        "      ! a launch would fail there: HAProxy refuses it\n"
        "      ! unchecked\n"
    ) in shown(refused)
    assert "1 load balancer changes." in shown(refused)
    unknown = of_balancers(report.BalancerPreview(names.ServerName("shop-proxy-1"), unknown="no preview"))
    assert unknown.nothing_to_do
    assert "  ? shop-proxy-1 cannot be shown: no preview\n" in shown(unknown)


def test_the_json_says_first_whether_there_is_something_to_do() -> None:
    found = report.Report(SHOP, (server("shop-web-1"),), changes=(change("shop-web-1"),)).as_json()
    assert list(found) == [
        "deployment", "nothing_to_do", "servers", "objects", "changes", "repeated", "remarks",
        "balancers",
    ]  # fmt: skip
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


def test_what_airflow_keeps_and_whether_data_was_ever_loaded_decides_about_databases(
    monkeypatch: pytest.MonkeyPatch, bookshop_text: str
) -> None:
    with airflow_api.serving() as airflow:
        for name, value in (("URL", airflow.url), ("USERNAME", "ada"), ("PASSWORD", "secret")):
            monkeypatch.setenv(f"GANTRY_{name}", value)
        known = definition.loads(bookshop_text)
        assert plan._kept(known, None) == ({}, False)
        run = airflow_api.Run("r1", [("failed", {"service-db.install_datasources": "success"})])
        airflow.add(airflow_api.Dag("bookshop", runs=[run]))
        assert plan._kept(known, None) == ({}, True)
        # Where the notes are complete, there is nothing to ask.
        airflow.assets["deployment-state://bookshop"] = {data_history.COMPLETE: "2026"}
        airflow.asked.clear()
        assert plan._kept(known, None) == ({data_history.COMPLETE: "2026"}, False)
        assert not [each for each in airflow.asked if each.endswith("taskInstances/list")]
        # An Airflow that says nothing leaves the preview to say what it does not know.
        airflow.forbidden.add("/assets")
        assert plan._kept(known, None) == (None, False)


def test_a_plan_says_that_the_definition_is_in_another_bundle_than_at_the_last_operation(
    monkeypatch: pytest.MonkeyPatch, bookshop_text: str
) -> None:
    with airflow_api.serving() as airflow:
        for name, value in (("URL", airflow.url), ("USERNAME", "ada"), ("PASSWORD", "secret")):
            monkeypatch.setenv(f"GANTRY_{name}", value)
        known = definition.loads(bookshop_text)
        kept = {keys.MOVED: {"moved": "2026", "bundle": "shops"}}
        # It was never parsed; or Airflow was not asked before.
        assert list(plan._moved(known, None, kept, "")) == []
        assert list(plan._moved(known, None, None, "")) == []
        dag = airflow.add(airflow_api.Dag("bookshop", bundle="others"))
        (said,) = plan._moved(known, None, kept, "")
        assert "was read from the DAG bundle 'others'" in said
        assert "--new-bundle others" in said
        assert list(plan._moved(known, None, kept, "others")) == []
        dag.bundle = "shops"
        assert list(plan._moved(known, None, kept, "")) == []
    found = report.Report(SHOP, (server("shop-web-1"),), remarks=("one",)).with_remarks(["two"])
    assert found.remarks == ("one", "two")
    assert found.nothing_to_do


def test_a_changed_dump_that_stays_where_it_is_is_no_reason_for_a_launch() -> None:
    dump = report.ChangedObject(
        report.ObjectKind.DATASOURCE,
        "db.main",
        "s3://b/main.sql",
        (names.ServerName("shop-db-1"),),
        held=True,
    )
    found = report.Report(SHOP, (server("shop-db-1"),), objects=(dump,))
    assert (
        "  ! dump of db.main has changed: s3://b/main.sql\n"
        "      ! not loaded: the datasource holds data; --reload-dump db.main loads it in place of the data\n"
    ) in shown(found)
    assert found.nothing_to_do
