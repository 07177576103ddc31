"""A message for an incoming webhook of Slack, or of what takes the same: Mattermost, Rocket.Chat, Discord's ``/slack``.

Slack shows the blocks; others, and notifications, the text. So the text says all of it, too.
"""

from __future__ import annotations

import json
from typing import Any

from analytics.alerts.lines import Lines, lines
from analytics.alerts.message import Message
from spanverdict.alert_channels.http import Post
from spanverdict.alert_channels.webhook import report_url

HEADER_LIMIT = 150
TEXT_LIMIT = 3_000
"""Characters of one block's text."""

BLOCK_LIMIT = 50
MESSAGE_LIMIT = 10_000
"""Characters of all blocks: past 13,000 Slack answers msg_blocks_too_long."""

FALLBACK_LIMIT = 4_000

_CUT = "\u2026"


def build(message: Message, *, delivery_id: str, url: str, base_url: str | None, timeout_seconds: float) -> Post:
    """The request that carries a message; arguments as for a webhook."""
    body = json.dumps(payload(message, base_url), ensure_ascii=False, allow_nan=False).encode()
    headers = {"content-type": "application/json; charset=utf-8", "user-agent": "spanverdict"}
    # Slack has no key against repetitions; a relay in between may use it.
    return Post(url, body, {**headers, "idempotency-key": delivery_id}, timeout_seconds=timeout_seconds)


def payload(message: Message, base_url: str | None) -> dict[str, Any]:
    """The body: ``text`` for what shows no blocks, and ``blocks``."""
    said, link = lines(message), report_url(message, base_url)
    return {
        "text": _short(_escaped(f"{said.title}\n\n{said.text(link)}"), FALLBACK_LIMIT),
        "blocks": _blocks(said, link),
    }


def _blocks(said: Lines, link: str | None) -> list[dict[str, Any]]:
    title = {"type": "plain_text", "text": _short(_harmless(said.title), HEADER_LIMIT), "emoji": False}
    first: list[dict[str, Any]] = [{"type": "header", "text": title}, _section(_escaped(said.headline))]
    do = f"*What to do*: {_escaped(said.what_to_do)}"
    last = [_section(do)]
    if said.origin or link:
        # The link's own characters are those of the operator's base_url.
        shown = f"<{_escaped(link)}|The report> · " if link else ""
        last.append({"type": "context", "elements": [_text(f"{shown}{_escaped(said.origin)}")]})
    room = MESSAGE_LIMIT - len(said.headline) - len(do)
    between: list[dict[str, Any]] = []
    for number, paragraph in enumerate(said.events):
        block = _section(_escaped(paragraph))
        room -= len(block["text"]["text"])
        if room < 0 or len(first) + len(between) + len(last) + 1 >= BLOCK_LIMIT:
            between.append(_section(f"And {len(said.events) - number} more, which do not fit here."))
            break
        between.append(block)
    if said.left_out:
        between.append(_section(said.left_out))
    return [*first, *between, *last]


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _text(text)}


def _text(text: str) -> dict[str, Any]:
    # Verbatim: names of channels, people and hosts in it stay what they are.
    return {"type": "mrkdwn", "text": _short(text, TEXT_LIMIT), "verbatim": True}


def _escaped(text: str) -> str:
    """Text without what mrkdwn acts on: links and mentions begin with "<", elsewhere mentions begin with "@"."""
    return _harmless(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _harmless(text: str) -> str:
    return text.replace("@", "@\u200b")


def _short(text: str, limit: int) -> str:
    """The text within a limit; an entity is not cut in two."""
    if len(text) <= limit:
        return text
    kept = text[: limit - 1]
    start = kept.rfind("&")
    if start >= 0 and ";" not in kept[start:]:
        kept = kept[:start]
    return kept + _CUT
