"""One trace as a piece of an HTML page: a waterfall, the messages, and what was said of it.

Its style is ``templates/trace.css``, with the colours of ``templates/report.css``.
"""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from analytics.report import formatting
from analytics.report.text import name, passage, sentence
from analytics.trace_view import SpanView, TraceView

UNKNOWN = "\u2013"


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
    environment.filters.update(
        name=name, sentence=sentence, passage=passage, instant=formatting.instant, ms=_ms, usd=_usd, tokens=_tokens
    )
    return environment


def _ms(duration: float | None) -> str:
    return "unknown" if duration is None else formatting.value(duration, "ms")


def _usd(cost: float | None) -> str:
    return UNKNOWN if cost is None else formatting.value(cost, "usd")


def _tokens(span: SpanView) -> str:
    if span.input_tokens is None and span.output_tokens is None:
        return UNKNOWN
    told = (UNKNOWN if count is None else f"{count:,}" for count in (span.input_tokens, span.output_tokens))
    return ", ".join(told)
