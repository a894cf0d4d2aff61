"""What a definition's templates cannot do: reach Python, take minutes, fill the memory."""

from __future__ import annotations

import resource
import time

import pytest

from gantry import definition, templates

PEERS = [{"name": f"shop-web-{slot}", "slot": slot, "address": f"10.0.0.{slot}"} for slot in range(1, 1001)]

GREEDY = {
    "text in place of text": '{{ "%999d"|format(1)|replace(" ", "%999d"|format(1))|replace(" ", "%999d"|format(1)) }}',
    "filling up a row": '{{ [1] | batch(10000000000, "x") | list }}',
    "many rows": '{{ peers | slice(10000000000, "x") | list }}',
    "a wide indent": "{{ [1] | tojson(indent=10000000000) }}",
    "doubling": "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a ~ a %}" * 40 + "{{ a | length }}",
    "adding": "{% set a = 'aaaaaaaaaa' %}" + "{% set a = a + a %}" * 40 + "{{ a | length }}",
    "lists of lists": "{% set a = peers %}" + "{% set a = [a, a] %}" * 40 + "{{ a }}",
    "lists of lists as text": "{% set a = peers %}"
    + "{% set a = [a, a] %}" * 40
    + "{{ a | string | length }}",
    "putting out in a block": "{% set a = 'aaaaaaaaaa' %}"
    + "{% set a %}{{ a }}{{ a }}{% endset %}" * 40
    + "{{ a | length }}",
    "long numbers": "{% set a = 9 %}" + "{% set a = a * a %}" * 40 + "{{ a > 1 }}",
    "many digits": '{{ 1.5 | round(1000000000, "floor") }}',
    "joining": "{% set a = 'a' | format | replace('a', 'b' ~ peers) %}{{ peers | join(a) }}",
    "wrapping": "{% set a = peers | map(attribute='name') | join %}{{ a | wordwrap(1, true, a) }}",
    "adding up lists": "{{ [peers, peers] | sum(start=[]) }}",
    "loops in loops": "{% for a in peers %}{% for b in peers %}{% for c in peers %}" + "{% endfor %}" * 3,
    "long text in loops": "{% for a in peers %}{% for b in peers %}"
    + "x" * 1000
    + "{% endfor %}{% endfor %}",
    "a macro of itself": "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "a loop of itself": "{% for a in peers recursive %}{{ loop(peers) }}{% endfor %}",
}


@pytest.mark.parametrize("text", GREEDY.values(), ids=GREEDY)
def test_a_template_that_grows_without_end_is_refused_at_once(text: str) -> None:
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(templates.TemplateError, match=r"too much|more than|at most|one line|only|recursion"):
        templates.render(text, {"peers": PEERS})
    assert time.process_time() - begun < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''['__class__'] }}",
        "{{ '' | attr('__class__') }}",
        "{{ peers | map(attribute='__class__') | join }}",
        "{{ peers.__class__ }}",
        "{{ 'a'.join(['b']) }}",
        "{% for a in peers %}{{ loop.__init__.__globals__ }}{% endfor %}",
        "{% macro f() %}{% endmacro %}{{ f.__globals__ }}",
        "{{ self.__init__ }}",
        "{{ cycler.__init__ }}",
    ],
)
def test_a_template_does_not_reach_python(text: str) -> None:
    with pytest.raises(templates.TemplateError):
        templates.render(text, {"peers": PEERS})


USUAL = {
    "each peer": "{% for a in peers %}{{ a.name }}={{ a.address }}:{{ '%05d' | format(a.slot) }};{% endfor %}",
    "each pair": "{% for a in peers %}{% for b in peers %}{% endfor %}{% endfor %}",
    "the last": "{% for a in peers %}{{ a.name }}{{ ',' if not loop.last }}{% endfor %}",
    "joined": "{{ peers | map(attribute='address') | join(',') }}",
    "with a macro": "{% macro at(a) %}{{ a.address }}{% endmacro %}{% for a in peers %}{{ at(a) }} {% endfor %}",
    "put together": "{% for a in peers %}{{ a.name ~ '-' ~ a.slot ~ '-' ~ loop.length }}{% endfor %}",
    "as JSON": "{{ peers | tojson }}",
}


@pytest.mark.parametrize("text", USUAL.values(), ids=USUAL)
def test_a_thousand_servers_are_not_too_many(text: str) -> None:
    templates.render(text, {"peers": PEERS})


def test_each_rendering_has_the_whole_budget() -> None:
    for _ in range(5):
        templates.render("{% for a in peers %}{{ a }}{% endfor %}", {"peers": PEERS})


def test_a_server_name_cannot_fill_the_memory_of_who_validates(bookshop_text: str) -> None:
    greedy = GREEDY["text in place of text"].replace('"', "'")
    with pytest.raises(definition.DefinitionError, match="cannot be rendered: too much work"):
        definition.loads(f'{bookshop_text}server_name: "{greedy}"\n')
