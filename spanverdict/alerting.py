"""Tells of what a report changed: writes down the news and the messages; :mod:`spanverdict.delivery` sends them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from analytics.alerts.change import Change
from analytics.alerts.changes import Known, State, changes
from analytics.alerts.events import Event
from analytics.alerts.guarded import guard_finds
from analytics.alerts.message import Message, failed_run_message, guard_message, report_message
from analytics.alerts.outbox import Addressed, Announcement, Purpose, read_known, write_announcement
from analytics.report.model import Report
from analytics.report.text import name, sentence
from spanverdict.alert_config import AlertConfig
from spanverdict.config import Config
from spanverdict.guard_config import GuardConfig
from sql.access import Access
from sql.clock import utc_now
from sql.errors import StoreError

_TRIES = 10
"""How often an announcement is made anew because another process announced meanwhile."""

_FAILED = "failed"
_DONE = "done"


def announce(store: Access, config: Config, report: Report, report_id: str, *, is_run_over: bool = True) -> int:
    """Tell of what changed with a report since the last one that was announced.

    The same report is announced once, whoever does it and however often; one that speaks of an earlier moment than what
    was announced is no news.

    Args:
        store: where alerts are; written to.
        config: which channels there are.
        report: the report.
        report_id: its identity in the store.
        is_run_over: whether a failure of its promotion's runs is over, so that the next one is news.

    Returns:
        How many events were recorded.

    Raises:
        StoreError: the store cannot be written.
    """
    if is_run_over:
        _run_is_over(store, report.promotion.name)

    def make(known: Known) -> Announcement | None:
        return report_announcement(config, report, report_id, known)

    made = _write(store, reports_stream(report.promotion.name), report_id, make)
    return len(made.events) if made else 0


def report_announcement(config: Config, report: Report, report_id: str, known: Known) -> Announcement | None:
    """What would be announced of a report, None if nothing.

    Args:
        config: which channels there are.
        report: the report.
        report_id: its identity in the store.
        known: what the reports before it made known.
    """
    if known.is_announced or (known.as_of is not None and report.as_of < known.as_of):
        return None
    events, states = changes(report, known)
    now = utc_now()
    promotion = report.promotion.name

    def message(wanted: Sequence[Event]) -> Message:
        return report_message(report, report_id, wanted, now)

    return Announcement(
        stream=reports_stream(promotion),
        known=known,
        report_id=report_id,
        as_of=report.as_of,
        now=now,
        states=states,
        events=events,
        # Whoever keeps time series has to see that a verdict stays, too.
        addressed=_address(config.alerts, promotion, events, message, always=("opentelemetry",)),
    )


def announce_failure(store: Access, config: Config, *, schedule: str, promotion: str | None, sentence: str) -> int:
    """Tell of a scheduled run that failed; once, until a run of the same schedule and promotion succeeds.

    Args:
        store: where alerts are; written to.
        config: which channels there are.
        schedule: the schedule's name.
        promotion: the promotion whose report failed; None where the run failed as a whole.
        sentence: what went wrong, without secrets.

    Returns:
        How many events were recorded.

    Raises:
        StoreError: the store cannot be written.
    """
    key = (schedule, None)

    def make(known: Known) -> Announcement | None:
        before = known.states.get(key)
        if before is not None and before.is_open:
            return None
        return _failure(config, known, schedule, promotion, sentence)

    made = _write(store, runs_stream(promotion), None, make)
    return len(made.events) if made else 0


def _failure(config: Config, known: Known, schedule: str, promotion: str | None, said: str) -> Announcement:
    now = utc_now()
    whose = "" if promotion is None else f" of {name(promotion)}"
    told = f"The run{whose} by {name(schedule)} failed: {_clean(said)}"
    event = Event(Change.FAILED_RUN, promotion, None, None, None, _FAILED, told, {"schedule": schedule})
    return Announcement(
        stream=runs_stream(promotion),
        known=known,
        report_id=None,
        as_of=now,
        now=now,
        states={**known.states, (schedule, None): State(_FAILED, is_open=True)},
        events=(event,),
        addressed=_address(
            config.alerts, promotion, (event,), lambda _: failed_run_message(schedule, promotion, event, now)
        ),
    )


def _run_is_over(store: Access, promotion: str) -> None:
    """Note that runs of a promotion succeed again, so that the next failure is news."""
    for stream in (runs_stream(promotion), runs_stream(None)):

        def make(known: Known, stream: str = stream) -> Announcement | None:
            if not any(state.is_open for state in known.states.values()):
                return None
            now = utc_now()
            states = {key: State(_DONE) for key in known.states}
            return Announcement(stream, known, None, now, now, states, (), ())

        _write(store, stream, None, make)


def announce_guard(store: Access, config: Config, guard: GuardConfig, report: Report, report_id: str) -> int:
    """Tell of cohorts that a guard finds regressed, and have the roll-back webhook called; once for each cohort.

    Args:
        store: where alerts are; written to.
        config: which channels there are.
        guard: the guard.
        report: the report as of now.
        report_id: its identity in the store.

    Returns:
        How many cohorts are to be rolled back that were not before.

    Raises:
        StoreError: the store cannot be written.
    """

    def make(known: Known) -> Announcement | None:
        return guard_announcement(config, guard, report, report_id, known)

    made = _write(store, guard_stream(guard), report_id, make)
    return len(made.events) if made else 0


def guard_announcement(
    config: Config, guard: GuardConfig, report: Report, report_id: str, known: Known
) -> Announcement | None:
    """What a guard would announce of a report, None if nothing; arguments as for :func:`announce_guard`."""
    events, states = guard_finds(report, known, metrics=guard.metrics, cohorts=guard.cohorts)
    if not events:
        return None
    now = utc_now()

    def message(wanted: Sequence[Event]) -> Message:
        return guard_message(report, report_id, wanted, now)

    calls = [
        Addressed(Purpose.ROLL_BACK, guard.promotion, message((event,)), guard.dry_run)
        for event in events
        if guard.calls
    ]
    return Announcement(
        stream=guard_stream(guard),
        known=known,
        report_id=report_id,
        as_of=report.as_of,
        now=now,
        states=states,
        events=events,
        addressed=[*calls, *_address(config.alerts, guard.promotion, events, message, dry_run=guard.dry_run)],
    )


def reports_stream(promotion: str) -> str:
    """The stream of a promotion's reports."""
    return f"reports/{promotion}"


def guard_stream(guard: GuardConfig) -> str:
    """The stream of what a guard found; what a dry run found counts as never told."""
    return f"{'guard-dry-run' if guard.dry_run else 'guard'}/{guard.promotion}"


def runs_stream(promotion: str | None) -> str:
    """The stream of the runs of a promotion, or of runs that fail before a promotion is at hand."""
    return "runs" if promotion is None else f"runs/{promotion}"


def wanted(channel: AlertConfig, promotion: str | None, events: Iterable[Event]) -> tuple[Event, ...]:
    """The events that a channel wants."""
    if channel.promotions and promotion is not None and promotion not in channel.promotions:
        return ()
    return tuple(
        event
        for event in events
        if event.change in channel.on
        and (not channel.cohorts or event.cohort is None or event.cohort in channel.cohorts)
        and (not channel.metrics or event.metric is None or event.metric in channel.metrics)
    )


def _address(
    channels: Iterable[AlertConfig],
    promotion: str | None,
    events: Sequence[Event],
    message: Callable[[Sequence[Event]], Message],
    always: Sequence[str] = (),
    *,
    dry_run: bool = False,
) -> list[Addressed]:
    """One message for each channel that wants any of the events; the kinds in ``always`` get one without any."""
    addressed = []
    for channel in channels:
        chosen = wanted(channel, promotion, events)
        is_asked = not channel.promotions or promotion in channel.promotions
        if chosen or (is_asked and channel.kind in always):
            addressed.append(Addressed(Purpose.ALERT, channel.name, message(chosen), dry_run or channel.dry_run))
    return addressed


def _write(
    store: Access, stream: str, report_id: str | None, make: Callable[[Known], Announcement | None]
) -> Announcement | None:
    """Write what follows from what is known; anew if another process announced meanwhile."""
    for _ in range(_TRIES):
        made = make(read_known(store, stream, report_id))
        if made is None or write_announcement(store, made):
            return made
    raise StoreError(f"Other processes keep announcing on {stream}; announce again with `spanverdict alerts announce`.")


def _clean(said: str) -> str:
    return sentence(said.strip() or "no reason was given.")
