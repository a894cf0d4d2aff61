"""Template rendering. All values are escaped."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.resources

import jinja2
import markdown_it
import markupsafe

from gantry import durations
from gantry.web.views import formatting, state_badges


@dataclasses.dataclass(frozen=True)
class Site:
    """The location of the pages.

    Attributes:
        prefix: the path of the pages, such as `/gantry`, with a leading and without a trailing slash.
        airflow: the path of Airflow itself; empty if it is `/`.
    """

    prefix: str
    airflow: str = ""

    def static(self, name: str) -> str:
        """Return the URL of a static file. It changes with the file, so that browsers may cache it."""
        return f"{self.prefix}/static/{name}?{_digest(name)}"


def render(template: str, site: Site, /, **known: object) -> str:
    """Render a page, or a part of one.

    Args:
        template: its file below `templates/`.
        site: the location of the pages.
        known: the template's variables, by name.
    """
    return _environment().get_template(template).render(site=site, **known)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gantry.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        # The files come with the package and do not change at run time.
        auto_reload=False,
    )
    environment.filters |= {
        "look": state_badges.look,
        "moment": formatting.moment,
        "run_look": state_badges.of_run,
        "duration": durations.text,
        "iso": formatting.iso,
        "markdown": _markdown,
        "utc": formatting.utc,
    }
    environment.globals |= {
        "FAILED": state_badges.FAILED,
        "DIFFER": state_badges.DIFFER,
        "count": formatting.count,
    }
    return environment


def _markdown(text: str) -> markupsafe.Markup:
    """Render a text of a definition as Airflow does: HTML is escaped, and nothing is loaded from elsewhere."""
    return markupsafe.Markup(_parser().render(text))  # noqa: S704 - made by a parser that lets no HTML through


@functools.cache
def _parser() -> markdown_it.MarkdownIt:
    return markdown_it.MarkdownIt("js-default", {"html": False}).disable("image")


@functools.cache
def _digest(name: str) -> str:
    file = importlib.resources.files("gantry.web") / "static" / name
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]
