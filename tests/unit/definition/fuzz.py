"""Thousands of broken definitions, in a process of its own: `python fuzz.py FOLDER CASES`.

Prints what it saw as JSON. It is a process of its own because what is looked for may end it, or fill the memory.
"""

from __future__ import annotations

import json
import pathlib
import random
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import yaml
from hypothesis import strategies

from gantry import definition

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
CORPUS = [
    path.read_bytes()
    for path in (
        *sorted((ROOT / "include").glob("*/*.yaml")),
        ROOT / "tests/unit/bookshop.yaml",
        *sorted((HERE / "bad").glob("*.yaml")),
    )
]
SHOP = (ROOT / "tests/unit/bookshop.yaml").read_text()
FULL = SHOP + (
    "variables: {size: t3.small, count: {type: integer, default: 2}, kind: {values: [a, b], default: a}}\n"
    'attend_time: "${count}0s"\n'
)
TOKENS = [
    *(
        b"${",
        b"}",
        b"$${",
        b"${size}",
        b"{{ x",
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!python/name:os.system ",
        b"---\n",
    ),
    *(
        b"\t",
        b"\0",
        b"\x85",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xff",
        b"\xe2\x80\xa8",
        b"null",
        b"~",
        b"[key]",
    ),
    *(
        b"9" * 40,
        b".inf",
        b"1:30",
        b"0x1F",
        b"2024-01-31",
        b"? ",
        b"- ",
        b": ",
        b"#",
        b"|\n",
        b">-\n",
        b"\r",
        b"%YAML",
    ),
]
SEED = 20
Saw = dict[str, Any]


# --- mutations -----------------------------------------------------------------------------------------------


def bytes_changed(chance: random.Random, raw: bytes) -> bytes:
    for _ in range(chance.choice([1, 1, 2, 4])):
        at, to = sorted(chance.randint(0, len(raw)) for _ in range(2))
        to = min(to, at + 200)
        raw = chance.choice(
            [
                raw[:at] + raw[to:],
                raw[:to] + raw[at:],
                raw[:at] + chance.choice(TOKENS) + raw[at:],
                raw[:at] + bytes([chance.randint(0, 255)]) + raw[at + 1 :],
                raw[:at] + raw[at:to].replace(b"\n", b"\n ") + raw[to:],
                raw[:at] + raw[at:to].swapcase() + raw[to:],
            ]
        )
    return raw


def spots(data: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) in the data."""
    keys = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in keys:
        yield data, key
        yield from spots(value)


def values(chance: random.Random) -> Any:
    return chance.choice(
        [
            *(
                None,
                True,
                0,
                -1,
                1.5,
                10**30,
                "",
                "x",
                "${size}",
                "<${count}>",
                "$${",
                "${",
                "${nope}",
                [],
                {},
                [[]],
            ),
            *(
                "db",
                "db.catalog",
                "1h",
                "s3://shop/x",
                "a1001",
                "@daily",
                "é" * 50,
                "x" * 5000,
                ["a", None],
                {"a": {}},
            ),
            *({"min": 2}, {"type": "integer"}, {"default": "${size}"}, "{{ a", "{% raw %}", "1", " "),
        ]
    )


def nodes_changed(chance: random.Random, data: Any) -> Any:
    for _ in range(chance.choice([1, 1, 2, 4])):
        known = list(spots(data))
        if not known:
            return values(chance)
        container, key = chance.choice(known)
        other, another = chance.choice(known)
        match chance.randint(0, 3):
            case 0:
                container[key] = values(chance)
            case 1:
                del container[key]
            case 2 if isinstance(container, dict):
                container[
                    chance.choice([*TOKENS, b"tiers", b"size", key.encode() + b"x"]).decode("latin-1")
                ] = container.pop(key)
            case _:
                container[key] = json.loads(json.dumps(other[another], default=str))
    return data


def dumped(data: Any) -> bytes:
    return yaml.dump(data, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False).encode()


def part(chance: random.Random, data: dict[str, Any]) -> dict[str, Any]:
    """What an overlay may say: some of what the definition says."""
    return {
        key: part(chance, value) if isinstance(value, dict) and chance.random() < 0.6 else value
        for key, value in data.items()
        # In an overlay, variables are values.
        if chance.random() < 0.5 and key != "variables"
    }


def mutants(chance: random.Random, cases: int) -> Iterator[tuple[bytes, bytes | None, dict[str, Any]]]:
    """(definition, overlay, arguments)."""
    full: Callable[[], Any] = lambda: yaml.load(FULL, Loader=yaml.CSafeLoader)  # noqa: E731 - a new one each time
    for case in range(cases):
        arguments = {
            name: values(chance)
            for name in ("size", "count", "kind", "nope")
            if case % 3 == 0 and chance.random() < 0.3
        }
        match case % 4:
            case 0:
                yield bytes_changed(chance, chance.choice(CORPUS)), None, arguments
            case 1:
                yield dumped(nodes_changed(chance, full())), None, arguments
            case 2:
                yield FULL.encode(), dumped(nodes_changed(chance, part(chance, full()))), arguments
            case _:
                overlay = dumped(
                    part(chance, full())
                    | {"variables": {"size": chance.choice(["m7g.large", values(chance)])}}
                )
                yield bytes_changed(chance, FULL.encode()), bytes_changed(chance, overlay), arguments


def bombs() -> Iterator[str]:
    """Texts that are small, or almost as large as may be, and unfold."""
    many = 90_000
    yield "[" + "1," * 499_000 + "1]"
    yield "".join(f"k{number}: 1\n" for number in range(many // 2))
    yield SHOP + "".join(f"k{number}: 1\n" for number in range(many // 2))
    yield SHOP + "tags: [" + "''," * (many // 2) + "]\n"
    yield SHOP + f"x: &x {'y' * 900_000}\ntags: [{'*x,' * 20_000}]\n"
    yield SHOP + "k: 1\n" * many
    yield SHOP + "".join(f"t{number}: !x 1\n" for number in range(60_000))
    yield "- " * many
    yield "&a [" + "*a," * many + "]"
    yield "a0: &a0 x\n" + "".join(
        f"a{number + 1}: &a{number + 1} [{f'*a{number},' * 9}]\n" for number in range(12)
    )
    yield SHOP + "variables: {" + "".join(f"v{number}: 1, " for number in range(20_000)) + "}\n"
    yield (
        SHOP.replace("{greeting:", '{long: "' + "${x}" * 200_000 + '", greeting:') + "variables: {x: 11111}\n"
    )
    yield SHOP.replace("{greeting:", '{long: "' + "${x}" * 200_000 + '", greeting:')
    yield SHOP.replace("{greeting:", '{long: "' + "${" * 400_000 + '", greeting:')
    yield SHOP.replace("0 4 * * 0", "1," * 400_000 + "1 4 * * 0")
    yield SHOP.replace("shop.example.com", "a." * 400_000 + "-")
    yield SHOP.replace("deployment: bookshop", "deployment: " + "a-" * 400_000)
    yield SHOP + "fan_out: " + "9" * 900_000 + "\n"
    yield "a: 1" + ":1" * 400_000
    yield "a: \u2028" * 200_000 + "["
    services = "".join(
        f"  s{number}: {{id: a{number + 2000}, tier: databse, archive: s3://bookshop/x.zip, depends_on: [catalg]}}\n"
        for number in range(4500)
    )
    yield SHOP.replace("services:\n", f"services:\n{services}")


# --- cases ---------------------------------------------------------------------------------------------------


def in_words(error: definition.DefinitionError, files: set[str]) -> None:
    """A refusal is something that a person can read."""
    assert error.problems
    assert str(error).startswith(str(error.problems[0]))
    for each in error.problems:
        assert each.file in files
        assert each.place >= definition.Position(1, 1)
        kinds = {unicodedata.category(character) for character in str(each)}
        assert not kinds & {"Cc", "Cf", "Cs", "Zl", "Zp"}, each
        assert len(each.message) < 2000, each


def check(
    saw: Saw, folder: pathlib.Path, base: bytes, overlay: bytes | None, arguments: dict[str, Any]
) -> None:
    """Read one case. Anything but a definition or a DefinitionError ends the process with a traceback."""
    path, beside = folder / "shop.yaml", folder / "shop.live.yaml"
    path.write_bytes(base)
    if overlay is not None:
        beside.write_bytes(overlay)
    begun = time.process_time()
    scalars = {name: value for name, value in arguments.items() if isinstance(value, str | int | float)}
    environment = "live" if overlay is not None else None
    try:
        loaded = definition.read(path, environment=environment, variables=scalars)
    except definition.DefinitionError as error:
        in_words(error, {str(path), str(beside)})
        saw["refused"] += 1
    else:
        assert all(str(each.origin) for each in loaded.values())
        saw["good"] += 1
    saw["slowest"] = max(saw["slowest"], time.process_time() - begun)


TEXTS = strategies.text(max_size=8) | strategies.sampled_from(
    [
        "${size}",
        "<${count}>",
        "${nope}",
        "$${x}",
        "${",
        "db",
        "1h",
        "a1001",
        "tiers",
        "variables",
        "size",
        "[key]",
    ]
)
SCALARS = strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats() | TEXTS
ANYTHING = strategies.recursive(
    SCALARS,
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
KEYS = strategies.sampled_from(sorted(definition.Definition.model_fields)) | TEXTS


def whatever(saw: Saw, folder: pathlib.Path, cases: int) -> None:
    """What hypothesis thinks of: overlays and variables of any shape over the shop."""

    @hypothesis.settings(
        max_examples=cases,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(
        strategies.dictionaries(KEYS, ANYTHING, max_size=3),
        strategies.dictionaries(TEXTS, ANYTHING, max_size=3),
        strategies.dictionaries(TEXTS, SCALARS, max_size=2),
    )
    def anything(overlay: Any, variables: Any, arguments: Any) -> None:
        check(saw, folder, FULL.encode(), dumped({**overlay, "variables": variables}), arguments)
        more = {**yaml.load(SHOP, Loader=yaml.CSafeLoader), **overlay, "variables": variables}
        check(saw, folder, dumped(more), None, arguments)

    anything()


def main(folder: pathlib.Path, cases: int) -> None:
    saw: Saw = {"good": 0, "refused": 0, "slowest": 0.0}
    for text in bombs():
        check(saw, folder, text.encode(), None, {})
        check(saw, folder, FULL.encode(), text.encode(), {})
    saw["slowest_bomb"] = saw.pop("slowest")
    saw["slowest"] = 0.0
    for base, overlay, arguments in mutants(random.Random(SEED), cases):
        check(saw, folder, base, overlay, arguments)
    whatever(saw, folder, cases // 8)
    saw["megabytes"] = peak()
    print(json.dumps(saw))


def peak() -> int:
    """The most memory that this program had, in megabytes. (`ru_maxrss` would have that of the tests' own process.)"""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
