"""`spanverdict evaluate`: runs evaluators over stored traces and stores what they find."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from analytics.evaluate.budget import Budget
from analytics.evaluate.errors import EvaluatorUnusableError
from analytics.evaluate.registry import Description, described
from analytics.evaluate.run import Tally, run
from analytics.evaluate.selection import Selection, Target, Targets, subjects, targets
from analytics.evaluate.subject import Evaluator, Judgement, Subject
from analytics.promotions import find_promotion
from collector.signals import Signal
from spanverdict.config import ConfigError
from spanverdict.derivation import bring_up_to_date
from spanverdict.evaluate_config import EvaluateConfig
from spanverdict.evaluation_records import export_request
from spanverdict.evaluators import build, chosen, spends
from spanverdict.export_requests import Destination, open_destination
from spanverdict.job_options import job_options
from spanverdict.options import Number, Settings, Time, store_options
from spanverdict.output import printable
from sql.access import Access, connect
from sql.errors import StoreError, StoreUnavailableError

EXIT_NOT_JUDGED = 1

RESULTS_AT_ONCE = 1_000
"""Results of one export request."""

_UNLIKE = 0.05
"""Difference between the arms' shares of judged traces that is told."""

_COUNT = click.IntRange(min=1)


@dataclass(frozen=True)
class _Wanted:
    """What the options came to."""

    selection: Selection
    budget: Budget
    limit: int | None
    batch: int
    again: bool
    dry_run: bool
    item_attributes: tuple[str, ...]


@click.command("evaluate")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--since", type=Time(), help="Only calls that began then or later.")
@click.option("--until", type=Time(), help="Only calls that began before.")
@click.option("--promotion", "promotion_name", help="Only traces of this promotion's two arms, while it ran.")
@click.option(
    "--cohort", "cohorts", multiple=True, help="Only traces of this cohort of the promotion; may be repeated."
)
@click.option("--sample", type=Number(0, 1, min_open=True), default=1.0, show_default=True,
              help="Share of traces to judge: always the same ones, alike in both arms.")  # fmt: skip
@click.option("--limit", type=_COUNT, help="Judge at most so many, per evaluator.")
@click.option("--budget-calls", type=_COUNT, help="Send at most so many requests to models.")
@click.option("--budget-tokens", type=_COUNT, help="Use at most so many tokens of models.")
@click.option("--budget-usd", type=Number(0, min_open=True), help="Spend at most so much on models.")
@click.option("--batch", type=click.IntRange(1, 10_000), default=100, show_default=True,
              help="How many are judged before their results are stored.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be judged; judge and store nothing.")
@click.option("--again", is_flag=True, help="Judge what this version of an evaluator has judged already, too.")
@store_options
def evaluate_command(
    settings: Settings, names: tuple[str, ...], since: datetime | None, until: datetime | None,
    promotion_name: str | None, cohorts: tuple[str, ...], sample: float, limit: int | None, budget_calls: int | None,
    budget_tokens: int | None, budget_usd: float | None, batch: int, *, dry_run: bool, again: bool,
) -> None:  # fmt: skip
    """Run evaluators over stored traces: those named, else the built-in ones and all that are configured.

    What a version of an evaluator has judged is not judged again, so an interrupted run goes on where it was. Exits
    with 1 if something could not be judged.
    """
    config = settings.config
    entries = chosen(config, names)
    budget = Budget(budget_calls, budget_tokens, None if budget_usd is None else Decimal(repr(budget_usd)))
    paid = [entry.name for entry in entries if spends(entry)]
    if paid and not budget.bounded and not dry_run:
        raise click.UsageError(
            f"{', '.join(paid)} calls a model: bound it with --budget-calls, --budget-tokens or --budget-usd, or name "
            "other evaluators."
        )
    if cohorts and not promotion_name:
        raise click.UsageError("--cohort needs --promotion, which says what a cohort is.")
    options = job_options(config)
    evaluators = [(entry, _built(entry, partial(build, entry, config, options.prices, budget))) for entry in entries]
    _check_store(settings)
    unjudged = False
    with open_destination(config, settings.db) as destination:
        store = destination.store
        bring_up_to_date(store, options)
        promotion = find_promotion(store, promotion_name) if promotion_name else None
        if promotion and cohorts and not promotion.cohort_by:
            raise click.UsageError(f"The promotion {promotion_name} has no attribute for cohorts; leave out --cohort.")
        selection = Selection(since, until, promotion, cohorts, sample, config.report.simulated)
        wanted = _Wanted(selection, budget, limit, batch, again, dry_run, config.datasets.item_attributes)
        for entry, evaluator in evaluators:
            with _closing(evaluator):
                unjudged |= _judge(destination, entry, evaluator, wanted)
    if budget.spent.calls:
        _tell(_spent(budget))
    if unjudged:
        raise SystemExit(EXIT_NOT_JUDGED)


def _built(entry: EvaluateConfig, make: Callable[[], Evaluator]) -> Evaluator:
    try:
        evaluator = make()
        described(evaluator)
    except EvaluatorUnusableError as error:
        raise ConfigError(printable(str(error))) from error
    if evaluator.name != entry.name:
        raise ConfigError(f"{entry.name}: the installed evaluator calls itself {printable(evaluator.name)!r}.")
    return evaluator


def _check_store(settings: Settings) -> None:
    """Nothing can be judged where there is no store; making an empty one would hide a wrong path."""
    if isinstance(settings.db, Path) and not settings.db.exists():
        remote = connect(settings.db)
        if remote is None:
            raise StoreUnavailableError(
                f"There is no store at {settings.db}; start `spanverdict serve`, or name another with --db."
            )
        remote.close()


@contextmanager
def _closing(evaluator: Evaluator) -> Iterator[None]:
    try:
        yield
    finally:
        close = getattr(evaluator, "close", None)
        if callable(close):
            close()


def _judge(destination: Destination, entry: EvaluateConfig, evaluator: Evaluator, wanted: _Wanted) -> bool:
    """Run one evaluator and say what came of it; whether something could not be judged."""
    description = described(evaluator)
    found = targets(destination.store, wanted.selection, description, again=wanted.again)
    if wanted.dry_run:
        _tell(_would(description, found, found.open[: wanted.limit]))
        return False
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        bar = progress.add_task(printable(description.name), total=len(found.open))
        tally = run(
            evaluator,
            found.open,
            _reader(destination.store, entry, wanted.item_attributes),
            lambda results: _store(destination, description, results),
            batch=wanted.batch,
            limit=wanted.limit,
            advance=lambda count: progress.advance(bar, count),
        )
    _tell(_said(description, tally, found))
    for line in _coverage(found, tally, wanted):
        _tell(line)
    return bool(tally.failed_to_run) or (tally.ended is not None and not tally.within_bounds)


def _reader(
    store: Access, entry: EvaluateConfig, item_attributes: Sequence[str]
) -> Callable[[Sequence[Target]], list[Subject]]:
    return partial(subjects, store, item_attributes=item_attributes, dataset=entry.dataset)


def _store(destination: Destination, evaluator: Description, results: Sequence[tuple[Target, Judgement]]) -> None:
    """Store results; when this returns they are on disk.

    Raises:
        StoreError: they cannot be stored.
    """
    parts = [results[start : start + RESULTS_AT_ONCE] for start in range(0, len(results), RESULTS_AT_ONCE)]
    with _interrupted_after():
        answers = destination.export([(Signal.LOGS, export_request(evaluator, part)) for part in parts])
    for answer in answers:
        if answer.refused or answer.rejected:
            raise StoreError(f"Results of {evaluator.name} were refused: {answer.reason}.")


@contextmanager
def _interrupted_after() -> Iterator[None]:
    """Let Ctrl-C wait until results are stored, for they may have been paid for; a second one does not wait."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal waiting
        if waiting:
            signal.default_int_handler(number, frame)
        waiting = True

    former = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)
    if waiting:
        raise KeyboardInterrupt


def _would(evaluator: Description, found: Targets, now: Sequence[Target]) -> str:
    judged = sum(found.judged.values())
    arms = Counter(target.arm for target in now)
    by_arm = _by_arm(arms) if any(arms) else ""
    return f"{_titled(evaluator)}: {len(now):,} would be judged{by_arm}, {judged:,} are judged already."


def _said(evaluator: Description, tally: Tally, found: Targets) -> str:
    judged = tally.stored - tally.failed_to_run.total()
    parts = [f"judged {judged:,}"]
    if found.judged:
        parts.append(f"{sum(found.judged.values()):,} were judged already")
    if tally.failed_to_run:
        parts.append(f"{tally.failed_to_run.total():,} could not be judged ({_counted(tally.failed_to_run)})")
    if tally.not_applicable:
        parts.append(f"{tally.not_applicable.total():,} are not for it ({_counted(tally.not_applicable)})")
    text = f"{_titled(evaluator)}: {', '.join(parts)}."
    if tally.left:
        text += f" {tally.left:,} are left. {tally.ended} Run the same command again to go on."
    elif tally.ended:
        text += f" {tally.ended}"
    return text


def _coverage(found: Targets, tally: Tally, wanted: _Wanted) -> Iterator[str]:
    """How much of each arm has been judged; a difference between them makes a comparison lean."""
    if wanted.selection.promotion is None:
        return
    shares = {}
    for arm in ("base", "candidate"):
        total = found.judged.get(arm, 0) + sum(target.arm == arm for target in found.open)
        done = found.judged.get(arm, 0) + tally.by_arm[arm]
        shares[arm] = done / total if total else 0.0
        yield f"  {arm}: {done:,} of {total:,} judged."
    if abs(shares["base"] - shares["candidate"]) > _UNLIKE:
        yield (
            "  The arms are not judged alike, so what is judged of them may not compare: see which calls are not for "
            "the evaluator, or go on."
        )


def _titled(evaluator: Description) -> str:
    judge = f", judge {evaluator.judge_model}" if evaluator.judge_model else ""
    return f"{evaluator.name} (version {evaluator.version}{judge})"


def _by_arm(arms: Mapping[str | None, int]) -> str:
    return f" ({', '.join(f'{arms.get(arm, 0):,} {arm}' for arm in ('base', 'candidate'))})"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{reason}: {count:,}" for reason, count in counts.most_common())


def _spent(budget: Budget) -> str:
    spent = budget.spent
    tokens = f"{spent.input_tokens:,} input and {spent.output_tokens:,} output tokens"
    untold = f" (of {spent.untold:,} answers not told)" if spent.untold else ""
    cost = "their cost is not known" if spent.usd is None or spent.untold else f"{spent.usd:.6f} USD"
    left = []
    if budget.calls is not None:
        left.append(f"{max(0, budget.calls - spent.calls):,} calls")
    if budget.tokens is not None:
        left.append(f"{max(0, budget.tokens - spent.input_tokens - spent.output_tokens):,} tokens")
    if budget.usd is not None and spent.usd is not None:
        left.append(f"{max(Decimal(0), budget.usd - spent.usd):.6f} USD")
    return f"Sent {spent.calls:,} requests: {tokens}{untold}, {cost}. Of the budget {' and '.join(left)} are left."


def _tell(line: str) -> None:
    click.echo(printable(line), err=True)
