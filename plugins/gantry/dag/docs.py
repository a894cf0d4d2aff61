"""Documentation page of each DAG: topology, steps, and what to do after failures."""

from __future__ import annotations

import importlib.resources

import jinja2

from gantry.definition import drills, models
from gantry.plan import Plan, scalable


def _template(name: str) -> jinja2.Template:
    text = (importlib.resources.files("gantry.dag") / "templates" / name).read_text()
    # Autoescape: names in a definition are validated, but descriptions are free text that is shown on a page.
    return jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)


# Compiling them takes longer than building a DAG. At import, it is done before a task's process is forked.
_LAUNCH = _template("launch.md.jinja")
_SCALE = _template("scale.md.jinja")
_RECOVER = _template("recover.md.jinja")
_TERMINATION = _template("terminate.md.jinja")
_BACKUP = _template("backup.md.jinja")
_RESTORE = _template("restore.md.jinja")
_WATCH = _template("watch.md.jinja")
_DRILL = _template("drill.md.jinja")


def launch_page(definition: models.Definition, plan: Plan) -> str:
    """Return Markdown with a Mermaid picture of tiers, services, dependencies and load balancers."""
    return _LAUNCH.render(definition=definition, plan=plan)


def scale_page(definition: models.Definition, plan: Plan) -> str:
    """Return Markdown about what can be scaled, by whom, and how."""
    return _SCALE.render(definition=definition, plan=plan, scalable=scalable(definition))


def recover_page(definition: models.Definition, plan: Plan) -> str:
    """Return Markdown about what counts as lost, and what happens to data."""
    return _RECOVER.render(definition=definition, plan=plan)


def termination_page(definition: models.Definition, plan: Plan) -> str:
    """Return Markdown about what is removed, in which order, and what stays."""
    return _TERMINATION.render(definition=definition, plan=plan)


def backup_page(definition: models.Definition, plan: Plan) -> str:
    """Return Markdown about what is backed up, and where to."""
    return _BACKUP.render(definition=definition, plan=plan, backups=definition.backups)


def watch_page(definition: models.Definition, plan: Plan) -> str:
    """Return Markdown about what is checked, how often, and the possible consequences."""
    return _WATCH.render(definition=definition, plan=plan)


def restore_page(definition: models.Definition, plan: Plan) -> str:
    """Return Markdown about what a restore replaces."""
    return _RESTORE.render(definition=definition, plan=plan, backups=definition.backups)


def drill_page(definition: models.Definition, plan: Plan) -> str:
    """Return Markdown about what a drill restores, and on which servers."""
    return _DRILL.render(definition=definition, plan=plan, drilled=drills.drilled(definition))
