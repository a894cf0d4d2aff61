"""Templates are read before a launch: what is certainly wrong is said then, what may be right is left alone."""

from __future__ import annotations

import time

import hypothesis
import pytest
from hypothesis import strategies

from gantry import definition, templates
from gantry.agent import template_values
from gantry.definition import template_checks, template_facts, template_types

SHOP = """\
deployment: shop
cloud: {region: eu-central-1}
launch_configurations:
  debian: {image: ami-1, ssh: {connection: shop_ssh}}
tiers:
  web: {launch_configuration: debian, servers: 3}
services:
  db: {id: a1, tier: web, archive: s3://shop/db.tar.gz, port: 3306}
  queue: {id: a2, tier: web, archive: s3://shop/queue.tar.gz}
  app: {id: a3, tier: web, archive: s3://shop/app.tar.gz, depends_on: [db, queue]}
"""

PEERS = tuple(
    template_facts.TemplateServer(
        name=f"shop-web-{slot}", slot=slot, address=f"10.0.0.{slot}", id=f"i-{slot}"
    )
    for slot in (1, 2)
)
FACTS = template_facts.InCustom(
    deployment=template_facts.TemplateDeployment(name="shop", description=""),
    tier=template_facts.TemplateTier(name="web"),
    service=template_facts.TemplateService(name="app", id="a3"),
    server=PEERS[0],
    peers=PEERS,
    dependencies={
        "db": template_facts.TemplateDependency(addresses=("10.0.0.1", "10.0.0.2"), port=3306),
        "queue": template_facts.TemplateDependency(addresses=("10.0.0.1", "10.0.0.2")),
    },
)
"""What the service `app` below is told on its first server."""


@pytest.fixture(scope="module")
def app() -> template_types.Parts:
    """What the values of the service `app` may use. It has no port, and of its two dependencies one has."""
    shop = definition.loads(SHOP)
    name = next(name for name, service in shop.services.items() if service.id == "a3")
    return template_types.in_custom(shop, name)


RIGHT = {
    "no template": "{ a: 1 } 100 % #",
    "a part": "{{ server.name }}-{{ server['slot'] + 1 }}",
    "a list": "{% for each in peers %}{{ loop.index }}={{ each.address }}:11211 {% endfor %}",
    "one of a list": "{{ peers[0].address }} {{ (peers | first).name }} {{ peers[1:] }}",
    "an attribute of each": "{{ peers | map(attribute='address') | join(',') }}",
    "a dependency": "{{ dependencies.db.addresses[0] }}:{{ dependencies.db.port }}",
    "every dependency": "{% for name in dependencies %}{{ name }}={{ dependencies[name].addresses }}{% endfor %}",
    "pairs": "{% for name, each in dependencies | items %}{{ each.port | default(0) }}{% endfor %}",
    "a port that may be absent": "{{ service.port | default(80) }}",
    "asked for first": "{% if service.port is defined %}{{ service.port }}{% endif %}",
    "a dependency asked for": "{% if 'cache' in dependencies %}{{ dependencies.cache.addresses[0] }}{% endif %}",
    "names of its own": "{% set here = server %}{% set n = here.slot * 2 %}{{ here.name }}{{ n }}",
    "one thing or another": "{% set x = server %}{% if server.slot > 1 %}{% set x = peers %}{% endif %}{{ x.name }}",
    "a macro": "{% macro at(x, y='') %}{{ x.address }}{{ y }}{{ varargs }}{% endmacro %}{{ at(server) }}",
    "with": "{% with me = server %}{{ me.id }}{% endwith %}",
    "a filtered list": "{{ (peers | rejectattr('slot', 'eq', 1) | sort(attribute='slot') | list)[0].id }}",
    "a block of text": "{% set text %}{{ server.name }}{% endset %}{{ text | trim }}",
    "filtered text": "{% filter upper %}{{ tier.name }}{% endfilter %}",
    "literally": "{% raw %}{{ whatever }}{% endraw %}{# {{ nothing }} #}",
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_what_is_right_is_left_alone_and_renders(app: template_types.Parts, text: str) -> None:
    assert template_checks.problems(text, app) == ()
    templates.render(text, FACTS.known())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ sever.name }}", "unknown name 'sever', did you mean 'server'?"),
        ("{{ range(9) }}", "unknown name 'range'; known are dependencies, deployment, peers, server, service, tier"),
        ("{{ server.adress }}", "server.adress: unknown name 'adress', did you mean 'address'?"),
        ("{{ server['adress'] }}", "server.adress: unknown name 'adress', did you mean 'address'?"),
        ("{{ server.adress | default('') }}", "server.adress: unknown name 'adress', did you mean 'address'?"),
        ("{{ service.port }}", "service.port: service 'app' has no port"),
        ("{{ dependencies.queue.port }}", "dependencies.queue.port: service 'queue' has no port"),
        ("{{ dependencies.dbb.addresses }}", "dependencies.dbb: unknown dependency 'dbb', did you mean 'db'?"),
        ("{{ peers.address }}", "peers is a list, and only its entries have 'address'"),
        ("{% for p in peers %}{{ p.adress }}{% endfor %}", "p.adress: unknown name 'adress', did you mean 'address'?"),
        ("{% for p in peers %}{{ loop.idx }}{% endfor %}", "loop.idx: unknown name 'idx', did you mean 'index'?"),
        ("{{ loop.index }}", "unknown name 'loop'; known are dependencies, deployment, peers, server, service, tier"),
        ("{% for p in peers %}{% endfor %}{{ p.name }}",
         "unknown name 'p'; known are dependencies, deployment, peers, server, service, tier"),
        ("{{ server.name.upper() }}",
         "server.name is a plain value without 'upper'; filters change values, as in | upper"),
        ("{{ peers | map(attribute='adress') | join }}",
         "map(attribute=…).adress: unknown name 'adress', did you mean 'address'?"),
        ("{{ peers | selectattr('nmae') | list }}",
         "selectattr(attribute=…).nmae: unknown name 'nmae', did you mean 'name'?"),
        ("{{ (peers | sort(attribute='slot') | first).ip }}",
         "unknown name 'ip'; known are address, id, name, slot"),
        ("{{ server.name | uper }}", "unknown filter 'uper', did you mean 'upper'?"),
        ("{{ 1 is evn }}", "unknown test 'evn', did you mean 'even'?"),
        ("{{ server.name", "no template: unexpected end of template, expected 'end of print statement'."),
        ("a\n{% for %}", "no template: Expected an expression, got 'end of statement block' (line 2 of it)"),
        ("{% include 'x' %}", "a template is complete in itself: it includes, imports and extends nothing"),
        ("{{ " + "(" * 5000 + " }}", "no template: nested too deeply"),
        ("{{ 1 }}" + " " * 20_000, "a template has at most 20,000 characters"),
    ],
)  # fmt: skip
def test_what_is_certainly_wrong_is_said(app: template_types.Parts, text: str, told: str) -> None:
    assert template_checks.problems(text, app) == (told,)


def test_a_template_is_read_and_not_run(app: template_types.Parts) -> None:
    begun = time.process_time()
    assert (
        template_checks.problems("{{ 'x' | format(10**12) | wordwrap(10**12) }}{{ 10 ** 10 ** 10 }}", app)
        == ()
    )
    assert time.process_time() - begun < 10


def test_all_mistakes_of_a_definition_come_at_once_each_at_its_place() -> None:
    text = SHOP.replace(
        "app.tar.gz,",
        "app.tar.gz, custom: {a: '{{ sever }}', b: 'x {{ peers.name }}', c: '{{ server.id }}'},",
    )
    with pytest.raises(definition.DefinitionError) as raised:
        definition.loads(text, "shop.yaml")
    assert [(each.place.line, each.message.partition(" ")[0]) for each in raised.value.problems] == [
        (10, "unknown"),
        (10, "peers"),
    ]


def test_facts_are_plain_data_and_what_is_none_is_absent() -> None:
    known = FACTS.known()
    assert known["service"] == {"name": "app", "id": "a3"}
    assert known["peers"][0] == {"name": "shop-web-1", "slot": 1, "address": "10.0.0.1", "id": "i-1"}
    assert known["dependencies"]["db"] == {"addresses": ["10.0.0.1", "10.0.0.2"], "port": 3306}
    with pytest.raises(templates.TemplateError):
        templates.render("{{ service.port }}", known)


def test_what_the_check_knows_is_what_servers_are_told() -> None:
    # One truth: whoever hands facts to templates can only hand what the types name.
    assert template_values.server_facts.__annotations__["return"] == "template_facts.TemplateServer"
    assert set(template_types.of(template_facts.InAttributes).known) == {"deployment", "tier", "server"}
    for model in template_facts.TemplateFacts.__subclasses__():
        for field in model.model_fields.values():
            assert field.description


WORDS = strategies.sampled_from(
    ["{{", "}}", "{%", "%}", "{#", "#}", " for ", " in ", " if ", "endif", "endfor", "peers", "server", ".", "|",
     "name", "(", ")", "[", "]", "'", "1", "=", " set ", " is ", "default", "map", "attribute", ",", "-", "\n",
     "macro", "endmacro", "with", "~", "*", "not ", "loop", "é"]
)  # fmt: skip


@hypothesis.given(strategies.lists(WORDS, max_size=40).map("".join))
@hypothesis.settings(max_examples=300, deadline=None)
def test_no_text_whatsoever_brings_the_check_down(text: str) -> None:
    for each in template_checks.problems(text, template_types.of(template_facts.InCustom)):
        assert len(each) < 500
