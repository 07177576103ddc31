"""What the doctor finds in alerts and guards: variables not set, promotions that are not there, lost messages."""

from __future__ import annotations

from collections.abc import Iterator

from analytics.errors import InputError
from analytics.report.formatting import count
from spanverdict.config import Config
from spanverdict.delivery import Channel, check_settings
from spanverdict.doctor import Finding, Status
from sql import statements
from sql.access import Access
from sql.clock import utc_now


def examine_alerts(config: Config, store: Access) -> Iterator[Finding]:
    """Look at channels, guards and the outbox.

    Args:
        config: which there are.
        store: where messages are.

    Yields:
        One finding at least where channels or guards are configured.

    Raises:
        StoreError: the store could not answer.
    """
    if not config.alerts and not config.guard:
        return
    found = [*_settings(config), *_guarded(config, store), *_outbox(store)]
    yield from found
    if not found:
        yield Finding(
            Status.OK, "alerts", f"{count(len(config.alerts), 'channel')}, {count(len(config.guard), 'guard')}."
        )


def _settings(config: Config) -> Iterator[Finding]:
    calling: list[Channel] = [*config.alerts, *(guard for guard in config.guard if guard.calls)]
    for channel in calling:
        try:
            check_settings(channel)
        except InputError as error:
            mend = "set it where the server, or `spanverdict alerts deliver`, runs."
            yield Finding(Status.WARN, "alerts", str(error), mend)


def _guarded(config: Config, store: Access) -> Iterator[Finding]:
    known = set(store.read(statements.read("promotions"))["name"].to_pylist())
    for channel in config.alerts:
        for missing in sorted(set(channel.promotions) - known):
            yield Finding(
                Status.WARN,
                "alerts",
                f"The channel {channel.name!r} is told of {missing!r}, and there is no such promotion.",
                "register it with `spanverdict promotion add`, or mend the name in [[alerts]].",
            )
    for guard in config.guard:
        if guard.promotion not in known:
            yield Finding(
                Status.WARN,
                "guard",
                f"The guard of {guard.promotion!r} watches nothing: there is no such promotion.",
                "register it with `spanverdict promotion add`, or mend the name in [[guard]].",
            )


def _outbox(store: Access) -> Iterator[Finding]:
    for row in store.read(statements.read("alert_troubles"), {"now": utc_now()}).to_pylist():
        state = "tried in vain, not given up yet" if row["status"] == "pending" else "given up within a day"
        yield Finding(
            Status.WARN,
            "alerts",
            f"{count(row['messages'], 'message')} to {row['channel']!r} {state}: {row['last_error']}",
            "see `spanverdict alerts deliveries`, and try `spanverdict alerts test`.",
        )
