"""The report for a terminal."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from analytics.report import formatting
from analytics.report.calibration_words import footnote
from analytics.report.findings import (
    SHARED_TITLE,
    Finding,
    Maturing,
    NotCompared,
    SharedCohort,
    checks_with,
    findings,
    kept_alarms,
    maturing,
    metric_names,
    not_compared,
    result_of,
    shared_cohorts,
    shown_exemplars,
    undecided,
)
from analytics.report.headline import headline
from analytics.report.model import (
    Check,
    CheckStatus,
    CohortResult,
    Decision,
    MetricResult,
    Report,
    Verdict,
    WatchItem,
)
from analytics.report.next_looks import next_looks
from analytics.report.pages import pages
from analytics.report.text import name, sentence, visible
from analytics.report.usage_rows import CohortRows, attempt_rows, usage_rows

_STYLES = {
    Verdict.REGRESSED: "bold red",
    Verdict.IMPROVED: "bold green",
    Verdict.NO_REGRESSION: "green",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.INVALID: "magenta",
}
_DECISION_STYLES = {
    Decision.PROMOTE: "bold green",
    Decision.HOLD: "bold yellow",
    Decision.ROLL_BACK: "bold red",
}
_CHECK_STYLES = {CheckStatus.FAIL: "bold red", CheckStatus.WARN: "yellow", CheckStatus.PASS: "green"}

_LEAST_WIDTH = 60
_COHORT_LIMIT = 24
_COLUMN_GAP = 3


def render(report: Report, width: int | None, color: bool) -> str:
    """Render the report for a terminal.

    Args:
        report: the report.
        width: columns to fill; None for the terminal's own width.
        color: whether to colour the verdicts; their words carry the meaning without.

    Returns:
        Lines with a final newline; no escape sequence unless ``color``.
    """
    columns = max(_LEAST_WIDTH, shutil.get_terminal_size((100, 24)).columns if width is None else width)
    console = Console(
        file=io.StringIO(),
        width=columns,
        force_terminal=color,
        color_system="standard" if color else None,
        no_color=not color,
        legacy_windows=False,
        highlight=False,
        markup=False,
        emoji=False,
        _environ={},
    )
    with console.capture() as captured:
        for block in _blocks(report, columns):
            console.print(block)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n"


def _blocks(report: Report, width: int) -> Iterator[RenderableType]:
    yield Text(headline(report), style="bold")
    yield Text(_about(report), style="dim")
    for cohorts in _pages(report, width):
        yield Text()
        yield _grid(report, cohorts)
    yield from _section("Decisions", [_decision(cohort) for cohort in report.cohorts])
    yield from _section("Regressed", [_finding(found) for found in findings(report, Verdict.REGRESSED)])
    yield from _section("Improved", [_finding(found) for found in findings(report, Verdict.IMPROVED)])
    yield from _section("Alarms kept from earlier days", [_kept(found) for found in kept_alarms(report)])
    yield from _section("Watch list: no alarm, but evidence", [_watched(item) for item in report.watch_list])
    yield from _section(SHARED_TITLE, [_shared(found) for found in shared_cohorts(report)])
    yield from _section("Not compared", [_not_compared(found, report) for found in not_compared(report)])
    for title, shown in (
        ("Cost and tokens of a trace: base → candidate", usage_rows(report)),
        ("Attempt chains: base → candidate", attempt_rows(report)),
    ):
        yield from _section(title, _by_cohort(shown, width))
    yield from _section(
        "Too small to see", _undecided([found for cohort in report.cohorts for found in undecided(cohort)])
    )
    yield from _section("Waiting for labels: how much of each arm is old enough", _maturing(maturing(report)))
    yield from _section(
        "Checks that did not pass",
        [_check(check) for check in checks_with(report, CheckStatus.FAIL, CheckStatus.WARN)],
    )
    passed = len(checks_with(report, CheckStatus.PASS))
    yield Text()
    yield Text(
        f"{formatting.count(passed, 'check')} passed. Intervals hold at every look; "
        f"family-wise error {report.alpha:g} in each direction.",
        style="dim",
    )
    if report.calibration is not None:
        yield Text(footnote(report.calibration), style="dim")
    yield from _section(
        "Where to look next (with the same --db and --config)",
        [_item(Text(what), where) for what, where in next_looks(report)],
    )


def _about(report: Report) -> str:
    promotion = report.promotion
    return (
        f"{name(promotion.base)} to {name(promotion.candidate)} {formatting.scope(promotion, name)}; "
        f"data to {formatting.instant(report.data_watermark)}"
    )


def _section(title: str, blocks: Sequence[RenderableType]) -> Iterator[RenderableType]:
    if blocks:
        yield Text()
        yield Text(title, style="bold")
        yield from blocks


def _short(cohort: CohortResult) -> str:
    return visible(cohort.cohort, _COHORT_LIMIT)


def _pages(report: Report, width: int) -> Iterator[list[CohortResult]]:
    """Split the cohorts so that each grid fits the width with no word cut."""
    words = max(len(word) for word in formatting.VERDICT_WORDS.values())
    room = width - max((cell_len(name(metric)) for metric in metric_names(report)), default=0)
    widths = [max(words, cell_len(_short(cohort))) + _COLUMN_GAP for cohort in report.cohorts]
    for page in pages(widths, room):
        yield [report.cohorts[place] for place in page]


def _grid(report: Report, cohorts: Sequence[CohortResult]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold", show_footer=True)
    table.add_column("metric", footer="decision", no_wrap=True)
    for cohort in cohorts:
        decision = Text(formatting.DECISION_WORDS[cohort.decision], style=_DECISION_STYLES[cohort.decision])
        table.add_column(Text(_short(cohort)), footer=decision, no_wrap=True)
    for metric in metric_names(report):
        table.add_row(Text(name(metric)), *(_verdict(result_of(cohort, metric)) for cohort in cohorts))
    return table


def _verdict(result: MetricResult | None) -> Text:
    if result is None:
        return Text("not measured", style="dim")
    return Text(formatting.VERDICT_WORDS[result.verdict], style=_STYLES[result.verdict])


def _item(title: Text, *lines: str) -> RenderableType:
    body = [Padding(Text(line), (0, 0, 0, 4)) for line in lines if line]
    return Group(Padding(title, (0, 0, 0, 2)), *body)


def _decision(cohort: CohortResult) -> RenderableType:
    title = Text.assemble(
        (formatting.DECISION_WORDS[cohort.decision], _DECISION_STYLES[cohort.decision]),
        f"  {name(cohort.cohort)}",
    )
    traces = ", ".join(f"{name(arm)} {formatting.count(n, 'trace')}" for arm, n in sorted(cohort.traces.items()))
    return _item(title, f"{sentence(cohort.reason)} ({traces or 'no traces'})", formatting.pooled(cohort))


def _finding(found: Finding) -> RenderableType:
    result = found.result
    title = Text.assemble(_verdict(result), f"  {name(result.metric)} on {name(found.cohort)}")
    numbers = f"effect {formatting.difference(result.effect, result.unit)}; {formatting.both_arms(result)}"
    regressed = result.verdict is Verdict.REGRESSED
    where = result.attribution.summary if regressed and result.attribution is not None else ""
    begins = sentence(where) if where else ""
    shown = shown_exemplars(result)
    exemplars = ", ".join(map(name, shown.get("candidate", [])))
    beside = ", ".join(map(name, shown.get("base", []))) if begins else ""
    examples = f"see traces {exemplars}" if exemplars and regressed else ""
    well = f"beside {beside}, which went well" if examples and beside else ""
    mixed, raised = formatting.mix(result), formatting.raised(result)
    return _item(title, sentence(result.reason), numbers, mixed, raised, begins, examples, well)


def _kept(found: Finding) -> RenderableType:
    result = found.result
    title = Text.assemble(_verdict(result), f"  {name(result.metric)} on {name(found.cohort)}")
    return _item(title, formatting.raised(result), sentence(result.reason))


def _watched(item: WatchItem) -> RenderableType:
    return _item(Text(f"{name(item.metric)} on {name(item.cohort)}: evidence {formatting.evidence(item.e_value)}"))


def _not_compared(found: NotCompared, report: Report) -> RenderableType:
    everywhere = len(found.cohorts) == len(report.cohorts)
    where = "all cohorts" if everywhere else ", ".join(name(cohort) for cohort in found.cohorts)
    what = "all metrics" if found.everything else ", ".join(map(name, found.metrics))
    title = Text.assemble((formatting.VERDICT_WORDS[Verdict.INVALID], _STYLES[Verdict.INVALID]), f"  {what} on {where}")
    return _item(title, sentence(found.reason))


def _undecided(found: Sequence[Finding]) -> list[RenderableType]:
    if not found:
        return []
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    # Where the moment is known it says what the days do, and both would not fit on a line.
    foreseen = any(each.result.maturity and each.result.maturity.next_verdict_at for each in found)
    for title in ("cohort", "metric", "visible from", "more traces", *(["verdict (UTC)"] if foreseen else [])):
        numbers = title in {"visible from", "more traces"}
        # Where all do not fit it is the cohort's name that is cut.
        table.add_column(title, justify="right" if numbers else "left", no_wrap=title != "cohort")
    for each in found:
        table.add_row(
            Text(visible(each.cohort, _COHORT_LIMIT)),
            Text(name(each.result.metric)),
            formatting.visible_from(each.result),
            formatting.more_traces(each.result, days=not foreseen),
            *([formatting.next_verdict_of(each.result)] if foreseen else []),
        )
    return [table]


def _by_cohort(shown: CohortRows, width: int) -> list[RenderableType]:
    """A row for each cohort, with as many columns as fit; the other renderings have all."""
    if not shown.rows:
        return []
    cohorts = [visible(cohort, _COHORT_LIMIT) for cohort, _ in shown.rows]
    widths = [
        max(cell_len(title), *(cell_len(cells[place]) for _, cells in shown.rows)) + _COLUMN_GAP
        for place, title in enumerate(shown.titles)
    ]
    fitting = next(pages(widths, width - max(map(cell_len, cohorts))))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    table.add_column("cohort")
    for place in fitting:
        table.add_column(shown.titles[place], justify="right", no_wrap=True)
    for cohort, (_, cells) in zip(cohorts, shown.rows, strict=True):
        table.add_row(Text(cohort), *(Text(cells[place]) for place in fitting))
    return [table]


def _maturing(found: Sequence[Maturing]) -> list[RenderableType]:
    if not found:
        return []
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="dim")
    for title in ("metric", "final after", "base", "candidate", "next verdict (UTC)"):
        table.add_column(title, justify="right" if title in {"base", "candidate"} else "left")
    for each in found:
        table.add_row(
            Text(name(each.metric)),
            formatting.final_after(each),
            formatting.covered(each.coverage["base"]),
            formatting.covered(each.coverage["candidate"]),
            formatting.next_verdict(each.next_verdict_at),
        )
    return [table]


def _shared(found: SharedCohort) -> RenderableType:
    lines = [
        f"{formatting.VERDICT_WORDS[verdict]}: {', '.join(map(name, metrics))}"
        for verdict, metrics in found.verdicts.items()
    ]
    reasons = [sentence(result.reason) for result in found.regressed]
    return _item(Text(name(found.cohort)), found.kept, *lines, *reasons)


def _check(check: Check) -> RenderableType:
    where = "all cohorts" if check.cohort is None else name(check.cohort)
    title = Text.assemble((str(check.status), _CHECK_STYLES[check.status]), f"  {name(check.check)} on {where}")
    return _item(title, sentence(check.detail))
