"""`spanverdict alerts`: what was told to whom, and sending it."""

from __future__ import annotations

import asyncio
import logging
import signal
import uuid
from importlib.resources import files

import click

from analytics.alerts.message import test_message
from analytics.alerts.outbox import Delivery, Purpose, Status, dry_runs, due, messages, read_known
from analytics.errors import InputError
from analytics.stored_reports import newest_report
from spanverdict.alert_config import AlertConfig
from spanverdict.alert_tasks import EXIT_NOT_SENT
from spanverdict.alerting import announce, report_announcement, reports_stream
from spanverdict.config import Config
from spanverdict.delivery import Result, channel_of, deliver, send, shown
from spanverdict.options import Settings, store_options
from spanverdict.output import FORMATS, printable, write_rows
from sql import statements
from sql.access import Access, open_store
from sql.clock import utc_now

_MOST = 1_000

_form = click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
_most = click.option("--limit", type=click.IntRange(1, 100_000), default=_MOST, show_default=True, help="Rows at most.")


@click.group("alerts")
def alerts_command() -> None:
    """Alerts: what changed and who was told; send what waits, test a channel."""


@alerts_command.command("list")
@click.option("--promotion", help="Only those of this promotion.")
@_form
@_most
@store_options
def alerts_list(settings: Settings, promotion: str | None, form: str, limit: int) -> None:
    """List what changed, the newest first."""
    with open_store(settings.db) as store:
        parameters = {"promotion": promotion, "most": limit}
        rows = store.read(statements.read("alert_events"), parameters)
    write_rows(rows, form, None)


@alerts_command.command("deliveries")
@_form
@_most
@store_options
def alerts_deliveries(settings: Settings, form: str, limit: int) -> None:
    """List messages with their channel and how far they are, the newest first."""
    with open_store(settings.db) as store:
        rows = store.read(statements.read("alert_deliveries"), {"most": limit})
    write_rows(rows, form, None)


@alerts_command.command("announce")
@click.argument("promotion_name", metavar="PROMOTION")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, with secrets masked; change nothing.")
@store_options
def alerts_announce(settings: Settings, promotion_name: str, *, dry_run: bool) -> None:
    """Tell of what the newest report of a promotion changed, one made by hand among them; `deliver` sends it."""
    with open_store(settings.db, write=not dry_run) as store:
        found = newest_report(store, promotion_name, before=utc_now())
        report, identity = found.report, found.report_id
        if not dry_run:
            recorded = announce(store, settings.config, report, identity)
            click.echo(f"Recorded {recorded} change{'' if recorded == 1 else 's'}.", err=True)
            return
        known = read_known(store, reports_stream(promotion_name), identity)
    made = report_announcement(settings.config, report, identity, known)
    planned = made.addressed if made else ()
    for each in planned:
        _print(settings.config, Delivery("msg_preview", each.purpose, each.channel, each.message, 0, utc_now(), None))
    if not planned:
        click.echo("Nothing would be sent.", err=True)


@alerts_command.command("deliver")
@click.option("--dry-run", is_flag=True, help="Print what is due, and what channels with dry_run got; change nothing.")
@click.option("--quiet", is_flag=True, help="Say only what failed.")
@store_options
def alerts_deliver(settings: Settings, *, dry_run: bool, quiet: bool) -> None:
    """Send the messages that are due. Exits with 1 if one could not be sent, whether it is tried again or not."""
    _log_quietly()
    with open_store(settings.db, write=not dry_run) as store:
        if dry_run:
            _preview(store, settings.config)
            return
        results = asyncio.run(_deliver(store, settings.config))
    for result in results:
        if result.error is not None or not quiet:
            click.echo(_told(result), err=True)
    if not results and not quiet:
        click.echo("Nothing is due.", err=True)
    if any(result.status is not Status.SENT for result in results):
        raise SystemExit(EXIT_NOT_SENT)


async def _deliver(store: Access, config: Config) -> list[Result]:
    """Send what is due; at SIGTERM what is under way arrives and is written down, so that it is not sent again."""
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    return await deliver(store, config, is_stopping=stopping.is_set)


@alerts_command.command("test")
@click.argument("channel_name", metavar="CHANNEL")
@click.option("--dry-run", is_flag=True, help="Print what would be sent, with secrets masked.")
@store_options
def alerts_test(settings: Settings, channel_name: str, *, dry_run: bool) -> None:
    """Send a message that says it is a test to a channel. Exits with 1 if it did not arrive."""
    _log_quietly()
    channel = _channel(settings.config, channel_name)
    message, identity = test_message(channel_name, utc_now()), f"msg_test_{uuid.uuid4().hex}"
    if dry_run:
        click.echo(printable(shown(channel, message, identity, utc_now())))
        return
    outcome = asyncio.run(send(channel, message, identity, utc_now()))
    if outcome.error is not None:
        click.echo(f"Error: {channel_name}: {outcome.error}", err=True)
        raise SystemExit(EXIT_NOT_SENT)
    click.echo(f"Sent a test message to {channel_name}.", err=True)


@alerts_command.command("schema")
def alerts_schema() -> None:
    """Print the JSON Schema of what webhooks get."""
    click.echo(files("analytics.alerts").joinpath("message.schema.json").read_text("utf-8"), nl=False)


def _channel(config: Config, name: str) -> AlertConfig:
    found = next((channel for channel in config.alerts if channel.name == name), None)
    if found is None:
        names = ", ".join(repr(channel.name) for channel in config.alerts)
        known = f"configured are {names}" if names else "none is configured"
        raise InputError(f"There is no channel {name!r} in [[alerts]]; {known}.")
    return found


def _preview(store: Access, config: Config) -> None:
    """Print what is due, and what channels that only look got."""
    planned = messages(store, [*due(store, utc_now()), *dry_runs(store, _MOST)])
    for delivery in planned:
        _print(config, delivery)
    if not planned:
        click.echo("Nothing is due.", err=True)


def _print(config: Config, delivery: Delivery) -> None:
    channel = channel_of(config, delivery)
    what = "roll-back of" if delivery.purpose is Purpose.ROLL_BACK else "channel"
    click.echo(f"--- {what} {printable(delivery.channel)}")
    if channel is None:
        click.echo("It is no longer configured; the message would be dropped.")
        return
    try:
        text = shown(channel, delivery.message, delivery.delivery_id, utc_now())
    except InputError as error:
        text = f"It would not be sent: {error}"
    click.echo(printable(text))


def _told(result: Result) -> str:
    delivery = result.delivery
    said = {
        Status.SENT: "sent",
        Status.PENDING: "not sent, will be tried again",
        Status.FAILED: "given up",
        Status.DROPPED: "dropped",
    }[result.status]
    reason = f": {result.error}" if result.error else "."
    return printable(f"{delivery.channel} ({delivery.purpose.value.replace('_', '-')}): {said}{reason}")


def _log_quietly() -> None:
    """Libraries of transports may write down URLs, which are secrets."""
    for name in ("aiohttp", "asyncio", "grpc"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
