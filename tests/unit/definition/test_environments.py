"""One definition, several environments: what an overlay and a variable change, and where each value comes from."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from gantry import definition
from gantry.definition import source

ROOT = pathlib.Path(__file__).parents[3]
INCLUDE = ROOT / "include" / "bookshop"
PAGE = (ROOT / "docs" / "environments.md").read_text()

SHOP = """\
deployment: shop
schedule: "0 4 * * 0"
cloud: {region: eu-central-1}
variables:
  size: t3.small
  count: {type: integer, default: 2}
  share: {type: number, default: 0.5}
  loud: false
  kind: {values: [small, large], default: small}
launch_configurations:
  debian: {image: "shop-${kind}-${count}", size: "${size}", ssh: {connection: shop_ssh}}
tiers:
  web: {launch_configuration: debian, servers: {min: "${count}", max: 6}}
  spare: {launch_configuration: debian, servers: 1}
services:
  app:
    id: a1
    tier: web
    archive: s3://shop/app.tar.gz
    custom: {share: "${share}", loud: "${loud}", text: "${loud} ${share}", plain: "$${loud} {{ server.name }}"}
"""

Written = Callable[..., pathlib.Path]


@pytest.fixture
def written(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Written:
    """Writes the shop and overlays for it, and stands beside them so that messages are short."""
    monkeypatch.chdir(tmp_path)

    def write(shop: str = SHOP, **overlays: str) -> pathlib.Path:
        pathlib.Path("shop.yaml").write_text(shop)
        for environment, text in overlays.items():
            pathlib.Path(f"shop.{environment}.yaml").write_text(text)
        return pathlib.Path("shop.yaml")

    return write


def refused(path: pathlib.Path, environment: str | None = None, **variables: Any) -> list[str]:
    with pytest.raises(definition.DefinitionError) as raised:
        definition.load(path, environment=environment, variables=variables)
    return [str(each) for each in raised.value.problems]


def custom(read: definition.Definition) -> dict[str, Any]:
    (app,) = read.services.values()
    return dict(app.custom)


def debian(read: definition.Definition) -> tuple[str, str]:
    (launch,) = read.launch_configurations.values()
    return launch.image, launch.size


# --- variables -----------------------------------------------------------------------------------------------


def test_a_variable_alone_keeps_its_type_and_within_a_text_becomes_text(written: Written) -> None:
    read = definition.load(written())
    assert custom(read) == {
        "share": 0.5,
        "loud": False,
        "text": "false 0.5",
        "plain": "${loud} {{ server.name }}",
    }
    assert debian(read) == ("shop-small-2", "t3.small")
    assert [tier.servers.min for tier in read.tiers.values()] == [2, 1]


def test_an_argument_wins_over_the_overlay_and_the_overlay_over_the_default(written: Written) -> None:
    path = written(staging="variables: {size: t3.large, count: 4}\n")
    assert debian(definition.load(path)) == ("shop-small-2", "t3.small")
    assert debian(definition.load(path, environment="staging")) == ("shop-small-4", "t3.large")
    read = definition.load(path, environment="staging", variables={"count": 5, "kind": "large"})
    assert debian(read) == ("shop-large-5", "t3.large")


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [("share", "0.25", 0.25), ("share", "1", 1.0), ("loud", "true", True), ("loud", "False", False)],
)
def test_an_argument_may_be_text_as_a_command_line_has_it(
    written: Written, name: str, given: str, value: object
) -> None:
    assert custom(definition.load(written(), variables={name: given}))[name] == value


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("count", "two", "shop.yaml:6:3: 'two' is not a whole number"),
        ("count", 2.5, "shop.yaml:6:3: 2.5 is not a whole number"),
        ("count", True, "shop.yaml:6:3: true is not a whole number"),
        ("loud", "loud", "shop.yaml:8:3: 'loud' is not true or false"),
        ("kind", "lage", "shop.yaml:9:3: 'lage' is not one of small, large, did you mean 'large'?"),
        ("size", 3, "shop.yaml:5:3: 3 is not text (put it in quotes)"),
    ],
)
def test_an_argument_of_a_wrong_type_is_refused(
    written: Written, name: str, given: object, told: str
) -> None:
    variables: Any = {name: given}
    assert refused(written(), **variables) == [f"{told} (the variable {name!r}, given as an argument)"]


def test_an_unknown_argument_is_refused_with_the_one_that_was_meant(written: Written) -> None:
    assert refused(written(), siez="x") == [
        "shop.yaml:4:1: unknown variable 'siez', did you mean 'size'? (given as an argument)"
    ]
    no_variables = "deployment: shop\ncloud: {region: eu-central-1}\n"
    assert "shop.yaml:1:1: unknown variable 'size'; there is none (given as an argument)" in refused(
        written(no_variables), size="x"
    )


def test_a_value_stays_one_value_whatever_is_in_it(written: Written) -> None:
    nasty = "a: b\n- [c, d]\n\"' ${count} {% raw %}{% endraw %}"
    text = SHOP.replace('"${loud} ${share}"', '"<${size}>"').replace('size: "${size}"', "size: t3.small")
    assert custom(definition.load(written(text), variables={"size": nasty}))["text"] == f"<{nasty}>"


def test_what_is_wrong_with_a_variable_is_said_once_and_hides_nothing_else(written: Written) -> None:
    text = SHOP.replace("count: {type: integer, default: 2}", "count: {type: integer}")
    text = text.replace("id: a1\n", "id: b1\n").replace("${kind}-", "${knd}-")
    assert refused(written(text)) == [
        "shop.yaml:6:3: the variable 'count' has no value: no default, and nothing sets it",
        "shop.yaml:11:19: unknown variable 'knd', did you mean 'kind'?",
        "shop.yaml:17:9: 'b1' is not a service id (a and up to 9 digits, such as a1001)",
    ]


def test_insertions_do_not_unfold_into_gigabytes(written: Written) -> None:
    uses = ", ".join(f'k{number}: "<${{long}}${{long}}>"' for number in range(1000))
    text = SHOP.replace("  loud: false\n", f"  loud: false\n  long: {'x' * 400_000}\n")
    text = text.replace("custom: {", f"custom: {{{uses}, ")
    (problem,) = refused(written(text))
    assert problem.endswith("variables come to more than 1,000,000 characters")


# --- overlays ------------------------------------------------------------------------------------------------


def test_mappings_merge_lists_and_values_replace_and_null_takes_away(written: Written) -> None:
    overlay = """\
deployment: shop-production
schedule: null
tags: [live]
tiers:
  web: {servers: {max: 9}}
  spare: null
  extra: {launch_configuration: debian, servers: 2, run_list: null}
services: {app: {port: 80, custom: {plain: null, more: 1}}}
"""
    path = written(SHOP + "tags: [shops, test]\n", production=overlay)
    read = definition.load(path, environment="production")
    assert (read.deployment, read.schedule, read.tags) == ("shop-production", None, ("live",))
    assert [(name, tier.servers.min, tier.servers.max) for name, tier in read.tiers.items()] == [
        ("web", 2, 9),
        ("extra", 2, 2),
    ]
    assert sorted(custom(read)) == ["loud", "more", "share", "text"]
    # Without the environment nothing has changed.
    assert definition.load(path).deployment == "shop"


def test_an_overlay_may_use_variables_itself(written: Written) -> None:
    path = written(live='fan_out: "${count}"\n')
    assert definition.load(path, environment="live").fan_out == 2


def test_mistakes_in_an_overlay_are_told_with_its_own_lines(written: Written) -> None:
    overlay = """\
variables: {siz: t3.large, count: "3", kind: [small]}
services:
  app: {prt: 9000, port: x, custom: {txt: null}}
  ap: null
fanout: null
cloud: {region: null}
tiers: {web: {launch_configuration: debain}}
"""
    assert refused(written(live=overlay), "live") == [
        "shop.live.yaml:1:13: unknown variable 'siz', did you mean 'size'?",
        "shop.live.yaml:1:35: '3' is not a whole number",
        "shop.live.yaml:1:46: in an overlay a variable is given a value: a text, a number, true or false",
        "shop.live.yaml:3:9: unknown key 'prt', did you mean 'port'?",
        "shop.live.yaml:3:26: 'x' is not a whole number",
        "shop.live.yaml:3:38: there is no 'txt' to take away, did you mean 'text'?",
        "shop.live.yaml:4:3: there is no 'ap' to take away, did you mean 'app'?",
        "shop.live.yaml:5:1: unknown key 'fanout', did you mean 'fan_out'?",
        "shop.live.yaml:6:9: the key 'region' is missing",
        "shop.live.yaml:7:37: unknown launch configuration 'debain', did you mean 'debian'?",
    ]


def test_a_cross_check_points_into_the_file_that_says_it(written: Written) -> None:
    path = written(live="tiers:\n  web: {launch_configuration: debain}\n")
    assert refused(path, "live") == [
        "shop.live.yaml:2:31: unknown launch configuration 'debain', did you mean 'debian'?"
    ]


@pytest.mark.parametrize(
    ("overlay", "told"),
    [
        ("", "1:1: the file holds no overlay"),
        ("- tiers\n", "1:1: an overlay is a mapping (key: value)"),
        ("fan_out: 1\nfan_out: 2\n", "2:1: the key 'fan_out' is here twice (first in line 1)"),
        ("fan_out: !!int 2\n", "1:10: tags are not part of the language, and here is '!!int'"),
        ("fan_out: 2\n---\nfan_out: 3\n", "2:1: a second document begins here; a file holds one overlay"),
        ("tiers:\n\tweb: {}\n", "2:1: this is a tab; YAML is indented with spaces"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"{one}: &{one} [{', '.join([f'*{other}'] * 9)}]\n"
                for one, other in zip("bcdefg", "abcdef", strict=True)
            ),
            "1:12: more than 50,000 values",
        ),
        ("#" * (source.LARGEST_FILE + 1), "1:1: larger than 1,000,000 bytes"),
    ],
    ids=["empty", "list", "key-twice", "tag", "documents", "tab", "bomb", "large"],
)
def test_an_overlay_is_refused_with_the_same_care(written: Written, overlay: str, told: str) -> None:
    problems = refused(written(live=overlay), "live")
    assert [
        re.sub(r"^1:\d+: more", "1:12: more", each.removeprefix("shop.live.yaml:")) for each in problems
    ] == [told]


def test_an_overlay_that_is_not_utf8_is_refused(written: Written) -> None:
    path = written()
    pathlib.Path("shop.live.yaml").write_bytes("description: é\n".encode("latin-1"))
    assert refused(path, "live") == ["shop.live.yaml:1:14: not UTF-8"]


def test_a_broken_definition_and_a_broken_overlay_are_told_together(written: Written) -> None:
    assert [each.partition(" ")[0] for each in refused(written("[", live="{"), "live")] == [
        "shop.yaml:2:1:",
        "shop.live.yaml:2:1:",
    ]


def test_an_unknown_environment_names_the_known_ones(written: Written) -> None:
    path = written(staging="fan_out: 2\n", production="fan_out: 3\n")
    assert sorted(definition.environments(path)) == ["production", "staging"]
    assert refused(path, "stagin") == ["shop.yaml:1:1: unknown environment 'stagin', did you mean 'staging'?"]
    assert refused(path, "x") == ["shop.yaml:1:1: unknown environment 'x'; known are production, staging"]
    pathlib.Path("secret.yaml").write_text("fan_out: 2\n")
    for escape in ("../secret", "/etc/passwd", "", ".", "a\0b", "x" * 5000):
        (problem,) = refused(path, escape)
        assert problem.startswith(f"shop.yaml:1:1: unknown environment {source.shown(escape)}")


def test_where_there_is_no_environment_that_is_said(written: Written) -> None:
    assert refused(written(), "live") == [
        "shop.yaml:1:1: unknown environment 'live' (no shop.*.yaml beside it)"
    ]
    assert refused(pathlib.Path("none.yaml"), "live")[0].startswith("none.yaml:1:1: cannot be read")


def test_an_overlay_knows_its_definition(written: Written) -> None:
    path = written(live="fan_out: 2\n")
    assert definition.overlaid(pathlib.Path("shop.live.yaml")) == path
    assert definition.overlaid(path) is None
    pathlib.Path("other.live.yaml").write_text(SHOP)
    assert definition.overlaid(pathlib.Path("other.live.yaml")) is None


# --- origins -------------------------------------------------------------------------------------------------


def test_every_value_says_where_it_comes_from(written: Written) -> None:
    path = written(live="variables: {size: t3.large}\nfan_out: 4\ntiers: {web: {servers: {max: 9}}}\n")
    loaded = definition.read(path, environment="live", variables={"count": 3})
    assert loaded.files == (path, pathlib.Path("shop.live.yaml"))
    assert {name: setting.value for name, setting in loaded.variables.items()} == {
        "size": "t3.large",
        "count": 3,
        "share": 0.5,
        "loud": False,
        "kind": "small",
    }
    origins = {".".join(map(str, each.path)): each for each in loaded.values()}
    assert {
        name: (origins[name].value, origins[name].origin.kind.name, str(origins[name].origin))
        for name in (
            "deployment",
            "fan_out",
            "attend_time",
            "tiers.web.servers.min",
            "tiers.web.servers.max",
            "tiers.spare.servers",
            "tiers.spare.run_list",
            "launch_configurations.debian.size",
            "launch_configurations.debian.image",
            "services.app.custom.share",
        )
    } == {
        "deployment": ("shop", "FILE", "shop.yaml:1:13"),
        "fan_out": (4, "OVERLAY", "shop.live.yaml:2:10"),
        "attend_time": (30.0, "DEFAULT", "default"),
        "tiers.web.servers.min": (3, "ARGUMENT", "shop.yaml:13:54, count from argument"),
        "tiers.web.servers.max": (9, "OVERLAY", "shop.live.yaml:3:30"),
        "tiers.spare.servers": (1, "FILE", "shop.yaml:14:50"),
        "tiers.spare.run_list": ([], "DEFAULT", "default"),
        "launch_configurations.debian.size": (
            "t3.large",
            "VARIABLE",
            "shop.yaml:11:50, size from shop.live.yaml:1:19",
        ),
        "launch_configurations.debian.image": (
            "shop-small-3",
            "ARGUMENT",
            "shop.yaml:11:19, kind from shop.yaml:9:43, count from argument",
        ),
        "services.app.custom.share": (0.5, "VARIABLE", "shop.yaml:20:21, share from shop.yaml:7:34"),
    }


def test_who_knows_more_refuses_with_the_places_of_the_files(written: Written) -> None:
    loaded = definition.read(written(live="tiers: {web: {servers: {max: 9}}}\n"), environment="live")
    error = loaded.refusal(
        [(("tiers", "web", "servers", "max"), "too many"), (("cloud", "region"), "too far")]
    )
    assert str(error) == (
        "shop.yaml:3:17: too far\n"
        "   3 | cloud: {region: eu-central-1}\n"
        "     |                 ^^^^^^^^^^^^\n"
        "shop.live.yaml:1:30: too many\n"
        "   1 | tiers: {web: {servers: {max: 9}}}\n"
        "     |                              ^"
    )


def test_a_short_form_is_where_its_parts_come_from(written: Written) -> None:
    loaded = definition.read(written())
    assert str(loaded.origin(("tiers", "spare", "servers", "max"))) == "shop.yaml:14:50"
    assert loaded.origin(("tiers", "web", "attributes")).kind is definition.OriginKind.DEFAULT


# --- the page ------------------------------------------------------------------------------------------------


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_page_work(tmp_path: pathlib.Path) -> None:
    example, overlay = blocks("yaml")
    read = definition.loads(example, variables={"stage": "live", "servers": 3})
    (page,) = read.services.values()
    assert (page.archive, page.custom["greeting"]) == (
        "s3://hello/live/page.tar.gz",
        "{{ server.name }} says hello from live",
    )
    (tmp_path / "bookshop.yaml").write_text((INCLUDE / "bookshop.yaml").read_text())
    (tmp_path / "bookshop.production.yaml").write_text(overlay)
    merged = definition.load(tmp_path / "bookshop.yaml", environment="production")
    assert merged.deployment == "bookshop-production"
    assert [tier.servers.max for tier in merged.tiers.values()] == [1, 12, 1]


@pytest.mark.parametrize("mistake", [("host:", "host_name:"), ("m7g.large", "m7g_large")])
def test_the_page_shows_what_is_told(
    mistake: tuple[str, str], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("bookshop.yaml", "bookshop.production.yaml"):
        text = (INCLUDE / name).read_text()
        pathlib.Path(name).write_text(text.replace(*mistake) if "production" in name else text)
    with pytest.raises(definition.DefinitionError) as raised:
        definition.load(pathlib.Path("bookshop.yaml"), environment="production")
    shown = "".join(f"    {line}\n" for line in str(raised.value).splitlines())
    assert shown in PAGE, shown
