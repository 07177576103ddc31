"""One trace as a piece of an HTML page: a waterfall, the messages, and what was said of it.

Its style is ``templates/trace.css``, with the colours of the page that it is part of.
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analytics.report import formatting
from analytics.report.text import name, sentence
from analytics.trace_view import TraceView


def trace_html(view: TraceView) -> Markup:
    """The markup of a trace; everything that it quotes is inert text."""
    # trace() is a macro of the template, and so has no type of its own.
    markup: Markup = _environment().get_template("trace.html.jinja").module.trace(view)  # type: ignore[attr-defined]
    return markup


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("analytics.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(name=name, sentence=sentence)
    environment.globals["f"] = formatting
    return environment
