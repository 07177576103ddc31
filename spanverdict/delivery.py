"""Sends what is due: each message by its channel's kind, tried again later where that may help.

A message is tried for a day, with pauses that grow and vary. It arrives once; twice only if this process dies between
sending and writing that down, and then under the same identity.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from itertools import groupby

from google.protobuf.json_format import MessageToDict

from analytics.alerts.message import Message
from analytics.alerts.outbox import Delivery, Purpose, Status, claim, due, finish, messages
from analytics.errors import InputError
from spanverdict.alert_channels import email, http, opentelemetry, slack, webhook
from spanverdict.alert_channels.outcome import Outcome
from spanverdict.alert_config import AlertConfig
from spanverdict.config import Config
from spanverdict.guard_config import GuardConfig
from spanverdict.webhook_target import masked, target, variable
from sql.access import Access
from sql.clock import utc_now

Channel = AlertConfig | GuardConfig
"""Whoever is told: a channel, or a guard's roll-back webhook."""

GIVE_UP_AFTER = timedelta(hours=24)
FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 1800.0


@dataclass(frozen=True)
class Result:
    """What became of one delivery.

    Attributes:
        delivery: the delivery.
        status: how far it is now.
        error: what went wrong, one sentence without secrets; None if nothing did.
    """

    delivery: Delivery
    status: Status
    error: str | None


async def deliver(
    store: Access,
    config: Config,
    now: Callable[[], datetime] = utc_now,
    is_stopping: Callable[[], bool] = lambda: False,
) -> list[Result]:
    """Send everything that is due.

    Channels are served side by side, the messages of one channel one after another.

    Args:
        store: where deliveries are; written to.
        config: which channels there are.
        now: tells the time (UTC, naive).
        is_stopping: whether to begin no further message.

    Raises:
        StoreError: the store cannot be written.
    """
    waiting = messages(store, due(store, now()))

    def channel(delivery: Delivery) -> tuple[str, str]:
        return delivery.purpose.value, delivery.channel

    queues = [list(group) for _, group in groupby(sorted(waiting, key=channel), channel)]
    # The store is reached from this thread alone; only the network is waited for side by side.
    results = await asyncio.gather(*(_serve(store, config, queue, now, is_stopping) for queue in queues))
    return [result for served in results for result in served]


async def _serve(
    store: Access,
    config: Config,
    queue: Sequence[Delivery],
    now: Callable[[], datetime],
    is_stopping: Callable[[], bool],
) -> list[Result]:
    """Send the messages of one channel; after one that has to wait, the others wait too."""
    results: list[Result] = []
    waits: Outcome | None = None
    for waiting in queue:
        if is_stopping():
            break
        claimed = claim(store, waiting.delivery_id, now())
        if claimed is None:
            continue
        delivery = claimed
        channel = channel_of(config, delivery)
        if channel is None:
            outcome = Outcome("Its channel is no longer configured.", is_final=True)
            results.append(_write_down(store, delivery, outcome, now(), Status.DROPPED))
            continue
        if waits is None:
            outcome = await send(channel, delivery.message, delivery.delivery_id, now())
            waits = outcome if outcome.error is not None and not outcome.is_final else None
        else:
            # It was not tried: what is said of it is what the channel said last.
            outcome = waits
        results.append(_write_down(store, delivery, outcome, now(), Status.FAILED))
    return results


def _write_down(store: Access, delivery: Delivery, outcome: Outcome, now: datetime, final: Status) -> Result:
    if outcome.error is None:
        finish(store, delivery, Status.SENT, now=now)
        return Result(delivery, Status.SENT, None)
    again = now + pause(delivery.attempts, outcome.wait_seconds)
    if outcome.is_final or again > delivery.created_at + GIVE_UP_AFTER:
        finish(store, delivery, final, now=now, error=outcome.error)
        return Result(delivery, final, outcome.error)
    finish(store, delivery, Status.PENDING, now=now, error=outcome.error, next_attempt_at=again)
    return Result(delivery, Status.PENDING, outcome.error)


def pause(attempts: int, asked_seconds: float | None) -> timedelta:
    """How long to wait after so many attempts: it doubles, varies by half, and is no shorter than was asked for.

    Args:
        attempts: how often it was tried, at least 1.
        asked_seconds: what the receiver asked for; None if nothing.
    """
    longest = min(FIRST_PAUSE_SECONDS * 2 ** min(attempts - 1, 20), LONGEST_PAUSE_SECONDS)
    varied = longest * random.uniform(0.5, 1.0)  # noqa: S311 (so that not all come back at once; no secret)
    return timedelta(seconds=max(varied, asked_seconds or 0.0))


def check_settings(channel: Channel) -> None:
    """See that what a channel's variables hold can be used; nothing is sent.

    Raises:
        InputError: a variable is not set, or cannot be used.
    """
    if isinstance(channel, AlertConfig) and channel.kind == "email":
        _mail_server(channel)
        return
    _url(channel)
    _headers(channel)
    _secret(channel)


def channel_of(config: Config, delivery: Delivery) -> Channel | None:
    """The channel of a delivery; None if it is no longer there, or no longer calls anybody."""
    if delivery.purpose is Purpose.ROLL_BACK:
        return next((each for each in config.guard if each.promotion == delivery.channel and each.calls), None)
    return next((each for each in config.alerts if each.name == delivery.channel), None)


async def send(channel: Channel, message: Message, delivery_id: str, now: datetime) -> Outcome:
    """Send one message; a setting that cannot be used is a failure that may be mended meanwhile.

    Args:
        channel: where it goes.
        message: what is told.
        delivery_id: its identity.
        now: the present (UTC, naive).
    """
    try:
        return await _send(channel, message, delivery_id, now)
    except InputError as error:
        return Outcome(str(error))
    except Exception as error:  # noqa: BLE001 (whatever it is, the other channels are served)
        # Its text may hold what the channel's variables hold.
        return Outcome(f"A message for {_named(channel)} could not be written or sent: {type(error).__name__}.")


async def _send(channel: Channel, message: Message, delivery_id: str, now: datetime) -> Outcome:
    if isinstance(channel, AlertConfig) and channel.kind == "email":
        mail = _mail(channel, message, delivery_id, now)
        return await asyncio.to_thread(email.send, mail, _mail_server(channel))
    if isinstance(channel, AlertConfig) and channel.kind == "opentelemetry":
        exported = opentelemetry.build(message, delivery_id=delivery_id, now=now)
        url, headers = _url(channel), _headers(channel)
        seconds = channel.timeout_seconds
        if channel.protocol == "grpc":
            return await asyncio.to_thread(
                opentelemetry.send_grpc, exported, url=url, headers=headers, timeout_seconds=seconds
            )
        return await opentelemetry.send_http(
            opentelemetry.posts(exported, url=url, headers=headers, timeout_seconds=seconds)
        )
    return await http.send(_post(channel, message, delivery_id, now))


def shown(channel: Channel, message: Message, delivery_id: str, now: datetime) -> str:
    """Exactly what would be sent, with secrets masked; arguments as for :func:`send`.

    Raises:
        InputError: a variable that the channel names is not set, or cannot be used.
    """
    if isinstance(channel, AlertConfig) and channel.kind == "email":
        server = _mail_server(channel)
        login = f", login as {server.user}" if server.user else ""
        mail = _mail(channel, message, delivery_id, now)
        # The text as it will be read, not as it is encoded for transport.
        parts = [f"{key}: {value}" for key, value in mail.items() if key.lower() != "content-type"]
        body = [str(part.get_content()) for part in mail.iter_parts()]
        return "\n".join([f"SMTP {server.address} ({server.security}{login})", *parts, "", *body])
    if isinstance(channel, AlertConfig) and channel.kind == "opentelemetry":
        exported = opentelemetry.build(message, delivery_id=delivery_id, now=now)
        sent = opentelemetry.posts(
            exported, url=_url(channel), headers=_headers(channel), timeout_seconds=channel.timeout_seconds
        )
        bodies = [json.dumps(MessageToDict(each), indent=2) for each in (exported.logs, exported.metrics) if each]
        if channel.protocol == "grpc":
            return "\n".join([f"OTLP/gRPC {masked(_url(channel))}", *bodies, ""])
        return "\n".join(
            line for post, body in zip(sent, bodies, strict=True) for line in (*post.shown(), "", body, "")
        )
    post = _post(channel, message, delivery_id, now)
    return "\n".join([*post.shown(), "", post.body.decode(), ""])


def _post(channel: Channel, message: Message, delivery_id: str, now: datetime) -> http.Post:
    url, seconds = _url(channel), channel.timeout_seconds
    if isinstance(channel, AlertConfig) and channel.kind == "slack":
        return slack.build(
            message, delivery_id=delivery_id, url=url, base_url=channel.base_url, timeout_seconds=seconds
        )
    return webhook.build(
        message,
        delivery_id=delivery_id,
        url=url,
        now=now.replace(tzinfo=UTC),
        secret=_secret(channel),
        headers=_headers(channel),
        base_url=channel.base_url if isinstance(channel, AlertConfig) else None,
        timeout_seconds=seconds,
    )


def _mail(channel: AlertConfig, message: Message, delivery_id: str, now: datetime) -> EmailMessage:
    return email.build(
        message,
        delivery_id=delivery_id,
        sender=channel.sender or "",
        recipients=channel.recipients,
        base_url=channel.base_url,
        now=now,
    )


def _mail_server(channel: AlertConfig) -> email.Server:
    password = None
    if channel.password_env is not None:
        password = variable(channel.password_env, _named(channel), "password_env")
    return email.Server(
        channel.host or "", channel.port, channel.security, channel.user, password, channel.timeout_seconds
    )


def _url(channel: Channel) -> str:
    return target(channel.url, channel.url_env, _named(channel))


def _headers(channel: Channel) -> dict[str, str]:
    if channel.headers_env is None:
        return {}
    return webhook.read_headers(variable(channel.headers_env, _named(channel), "headers_env"), channel.headers_env)


def _secret(channel: Channel) -> bytes | None:
    if channel.secret_env is None:
        return None
    return webhook.read_secret(variable(channel.secret_env, _named(channel), "secret_env"), channel.secret_env)


def _named(channel: Channel) -> str:
    if isinstance(channel, AlertConfig):
        return f"the channel {channel.name!r}"
    return f"the guard of {channel.promotion!r}"
