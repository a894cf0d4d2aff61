"""`gantry validate` of the bookshop, against what else could check the same file, each as a process of its own.

    .venv/bin/python benchmarks/validate.py

The peers: the JSON Schema check that editors and `check-jsonschema` do (PyYAML's C loader and jsonschema, nothing
else), which knows no places and nothing that needs two places of the file; and Airflow, which parses the loader and
shows an import error. The time is the processor's, the best of several rounds that take turns, so that a busy machine
does not count. Exits 1 when `gantry validate` takes more than three times as long as the schema check.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]
BOOKSHOP = ROOT / "include/bookshop/bookshop.yaml"
SCHEMA = ROOT / "plugins/gantry/definition/definition.schema.json"
ROUNDS = 9
LIMIT = 3.0

GANTRY = "from gantry import cli; cli.main()"
SCHEMA_CHECK = """
import json, sys
import jsonschema, yaml
definition, schema = sys.argv[1:]
with open(schema) as file:
    validator = jsonschema.Draft7Validator(json.load(file))
with open(definition) as file:
    found = list(validator.iter_errors(yaml.load(file, Loader=yaml.CSafeLoader)))
for each in found:
    print(each.json_path, each.message)
sys.exit(bool(found))
"""
AIRFLOW = (
    "import pathlib, sys; from gantry.dag import deployment_dags; deployment_dags(pathlib.Path(sys.argv[1]))"
)


def seconds(*command: str) -> float:
    """The processor time of a process that ends well."""
    before = os.times()
    subprocess.run(
        [sys.executable, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    after = os.times()
    return (after.children_user - before.children_user) + (after.children_system - before.children_system)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="gantry-benchmark-") as folder:
        os.environ.setdefault("AIRFLOW_HOME", f"{folder}/airflow")
        # Alone in its folder: beside it the bookshop has overlays, each of which is a definition more.
        definition = pathlib.Path(folder, "bookshop.yaml")
        definition.write_text(BOOKSHOP.read_text())
        commands = {
            "gantry validate": ("-c", GANTRY, "validate", str(definition)),
            "JSON Schema": ("-c", SCHEMA_CHECK, str(definition), str(SCHEMA)),
            "Airflow": ("-c", AIRFLOW, str(definition)),
        }
        best = dict.fromkeys(commands, float("inf"))
        for _ in range(ROUNDS):
            for name, command in commands.items():
                best[name] = min(best[name], seconds(*command))
    ours = best.pop("gantry validate")
    print(f"{'gantry validate':16} {ours * 1000:6.0f} ms")
    for name, time in best.items():
        print(f"{name:16} {time * 1000:6.0f} ms   ratio {ours / time:.2f}")
    return int(ours / best["JSON Schema"] > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
