"""What commands that show reports share: which format was meant, where it goes, whether it is coloured."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from analytics.report import render
from analytics.report.model import Report
from spanverdict.output import write_file
from sql.access import Access

_FORMAT_OF_SUFFIX = {".html": "html", ".htm": "html", ".json": "json", ".md": "md", ".xml": "junit"}


def format_of(form: str | None, out: Path | None, known: Sequence[str]) -> str:
    """The format that was asked for; else what the file's name ends with, where it is known; else a table."""
    named = _FORMAT_OF_SUFFIX.get(out.suffix.lower()) if out else None
    return form or (named if named in known else None) or "table"


def is_colored(out: Path | None) -> bool:
    """Whether a table is coloured: on a terminal that can, unless NO_COLOR says otherwise (https://no-color.org)."""
    plain = os.environ.get("NO_COLOR", "") != "" or os.environ.get("TERM") == "dumb"
    return out is None and not plain and sys.stdout.isatty()


def rendered(store: Access, report: Report, form: str, *, color: bool = False) -> str:
    """A report in a format; a page with the traces that its findings rest on, as far as the store still has them."""
    if form != "html":
        return render(report, form, color=color)
    from analytics.exemplar_traces import exemplar_traces  # noqa: PLC0415 (only pages show traces)

    return render(report, form, traces=exemplar_traces(store, report))


def tell(text: str, out: Path | None) -> None:
    """Write a rendering to a file or to standard output.

    Raises:
        click.UsageError: the file cannot be written.
    """
    if out:
        write_file(out, text.encode())
        click.echo(f"Wrote {out}.", err=True)
    else:
        click.echo(text, nl=not text.endswith("\n"))
