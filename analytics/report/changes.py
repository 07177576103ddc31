"""What changed between two reports, for a terminal, as Markdown and as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from analytics.report import as_json, formatting
from analytics.report.headline import headline
from analytics.report.markdown_text import code, escape, limited
from analytics.report.model import MetricResult, Report
from analytics.report.text import name
from analytics.report_changes import Changes, DecisionChange, MetricChange, Standing

FORMATS = ("table", "md", "json")
"""What changes can be rendered as."""

_STYLES = {
    Standing.NEW: "bold red",
    Standing.STILL: "red",
    Standing.UNDECIDED: "yellow",
    Standing.RESOLVED: "green",
}
_NOT_MEASURED = "not measured"
_NOT_THERE = "not in this report"


def render_changes(found: Changes, form: str, identities: tuple[str | None, str], *, color: bool = False) -> str:
    """Render what changed.

    Args:
        found: the changes.
        form: one of ``FORMATS``.
        identities: of the earlier report (None where there is none) and of the later one.
        color: whether a table is coloured.

    Returns:
        The text, with a final newline.

    Raises:
        ValueError: if the format is not known.
    """
    if form == "json":
        return json.dumps(_document(found, identities), indent=2, allow_nan=False) + "\n"
    if form == "md":
        return _markdown(found)
    if form == "table":
        return _table(found, color)
    raise ValueError(f"format {form!r} is not known: choose one of {', '.join(FORMATS)}")


def summary(found: Changes) -> str:
    """Say in one sentence what became of the regressions."""
    counts = ", ".join(f"{found.count(standing)} {standing}" for standing in _told(found))
    if found.before is None:
        return f"There is no earlier report of {name(found.after.promotion.name)}: {counts}."
    since = f"Since the report as of {formatting.instant(found.before.as_of)}"
    before, after = (name(report.promotion.name) for report in (found.before, found.after))
    of = "" if before == after else f" on {before}"
    return f"{since}{of}: {counts}."


def _told(found: Changes) -> tuple[Standing, ...]:
    """What is counted: of the undecided only where there are some."""
    always = (Standing.NEW, Standing.STILL, Standing.RESOLVED)
    return (*always, Standing.UNDECIDED) if found.count(Standing.UNDECIDED) else always


def _verdict(result: MetricResult | None) -> str:
    return _NOT_MEASURED if result is None else formatting.VERDICT_WORDS[result.verdict]


def _became(change: MetricChange) -> str:
    """The verdict and the effect, then and now: "effect was +1.2 points, is +3.7 points (+2.4 to +5.1 points)"."""
    verdicts = f"{_verdict(change.before)} → {_verdict(change.after)}; " if change.is_other_verdict else ""
    then = "" if change.before is None else formatting.difference(change.before.effect, change.before.unit)
    now = "" if change.after is None else formatting.effect(change.after)
    return f"{verdicts}effect {f'was {then}' if then else ''}{', ' if then and now else ''}{f'is {now}' if now else ''}"


def _decision(change: DecisionChange) -> str:
    before, after = (
        _NOT_THERE if decision is None else formatting.DECISION_WORDS[decision]
        for decision in (change.before, change.after)
    )
    return f"{before} → {after}"


def _table(found: Changes, color: bool) -> str:
    buffer = io.StringIO()
    console = Console(
        file=buffer, width=100_000, force_terminal=color, color_system="standard" if color else None,
        no_color=not color, legacy_windows=False, highlight=False, markup=False, emoji=False, _environ={},
    )  # fmt: skip
    for line in _lines(found):
        console.print(line)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _lines(found: Changes) -> Iterator[Text | Padding]:
    yield Text(summary(found), style="bold")
    yield Text(f"Now: {headline(found.after)}", style="dim")
    if found.regressions:
        yield Text("\nRegressions", style="bold")
    for change in found.regressions:
        standing = change.standing or Standing.STILL
        title = Text.assemble((f"{standing}", _STYLES[standing]), f"  {name(change.metric)} on {name(change.cohort)}")
        yield Padding(title, (0, 0, 0, 2))
        yield Padding(Text(_became(change)), (0, 0, 0, 4))
    if found.verdicts:
        yield Text("\nOther verdicts that changed", style="bold")
    for change in found.verdicts:
        where = f"{name(change.metric)} on {name(change.cohort)}"
        yield Padding(Text(f"{where}: {_verdict(change.before)} → {_verdict(change.after)}"), (0, 0, 0, 2))
    if found.decisions:
        yield Text("\nDecisions that changed", style="bold")
    for decision in found.decisions:
        yield Padding(Text(f"{name(decision.cohort)}: {_decision(decision)}"), (0, 0, 0, 2))


def _markdown(found: Changes) -> str:
    regressions = [
        f"- **{change.standing}** {code(change.metric)} on {code(change.cohort)}: {_became(change)}"
        for change in found.regressions
    ]
    verdicts = [
        f"- {code(change.metric)} on {code(change.cohort)}: {_verdict(change.before)} → {_verdict(change.after)}"
        for change in found.verdicts
    ]
    decisions = [f"- {code(change.cohort)}: {_decision(change)}" for change in found.decisions]
    blocks = [
        f"**{escape(summary(found))}** {escape(headline(found.after))}",
        *_section("Regressions", regressions),
        *_section("Other verdicts that changed", verdicts),
        *_section("Decisions that changed", decisions),
    ]
    return "\n\n".join(blocks) + "\n"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"#### {title}", limited(lines)] if lines else []


def _document(found: Changes, identities: tuple[str | None, str]) -> dict[str, Any]:
    before, after = identities
    return {
        "before": None if found.before is None else _report(found.before, before),
        "after": _report(found.after, after),
        "counts": {str(standing): found.count(standing) for standing in Standing},
        "regressions": [
            {
                "cohort": change.cohort,
                "metric": change.metric,
                "standing": str(change.standing),
                "before": None if change.before is None else as_json.metric_to_dict(change.before),
                "after": None if change.after is None else as_json.metric_to_dict(change.after),
            }
            for change in found.regressions
        ],
        "verdicts": [
            {
                "cohort": change.cohort,
                "metric": change.metric,
                "before": None if change.before is None else change.before.verdict.value,
                "after": None if change.after is None else change.after.verdict.value,
            }
            for change in found.verdicts
        ],
        "decisions": [
            {
                "cohort": change.cohort,
                "before": None if change.before is None else change.before.value,
                "after": None if change.after is None else change.after.value,
            }
            for change in found.decisions
        ],
    }


def _report(report: Report, identity: str | None) -> dict[str, Any]:
    return {
        "report_id": identity,
        "promotion": report.promotion.name,
        "as_of": formatting.iso(report.as_of),
        "overall": report.overall.value,
        "fingerprint": report.fingerprint,
    }
