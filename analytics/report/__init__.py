"""The report: one model, several renderings."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from analytics.report.headline import exit_status, headline
from analytics.report.model import Report
from analytics.trace_view import TraceView

FORMATS = ("table", "html", "md", "json", "junit")
"""What a report can be rendered as."""

_DOCUMENTS = {"html": "as_html", "md": "as_markdown", "json": "as_json", "junit": "as_junit"}
"""The module that writes each format: of those only the one that is asked for is imported."""

__all__ = ["FORMATS", "exit_status", "headline", "render"]


def render(
    report: Report, form: str, *, color: bool = False, width: int | None = None, traces: Sequence[TraceView] = ()
) -> str:
    """Render a report.

    Args:
        report: the report.
        form: one of ``FORMATS``.
        color: whether a table is coloured.
        width: columns of a table; None for the terminal's.
        traces: the traces that a page shows.

    Returns:
        The text, with a final newline.

    Raises:
        ValueError: if the format is not known.
    """
    if form == "table":
        from analytics.report import as_table  # noqa: PLC0415 (as above)

        return as_table.render(report, width, color)
    if form not in _DOCUMENTS:
        raise ValueError(f"report format {form!r} is not known: choose one of {', '.join(FORMATS)}")
    shown = {"traces": traces} if form == "html" else {}
    text: str = import_module(f"{__name__}.{_DOCUMENTS[form]}").render(report, **shown)
    return text
