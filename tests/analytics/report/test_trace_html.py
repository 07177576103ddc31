"""A trace in HTML: readable, and whatever it quotes stays text."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from html.parser import HTMLParser

import pytest

from analytics.report.trace_html import trace_html
from analytics.trace_view import Message, OutcomeView, SpanView, TraceView
from tests.analytics.report.test_hostile_text import HOSTILE

SPAN = SpanView("s", 0, "answer", "chat", "m", "look_up", 0.0, 12.5, None, 1200, None, 0.0012, ())
VIEW = TraceView("a" * 32, datetime(2026, 11, 2, 9), 50.0, "shop", (SPAN,), 0, ())


class Seen(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag and the names of its attributes."""
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        """Add up the text."""
        self.text += data


def test_a_span_says_what_it_did() -> None:
    """What it does, how long, from when on, tokens and cost; what is not known is not a zero."""
    text = " ".join(Seen(str(trace_html(VIEW))).text.split())
    assert "chat \u00b7 look_up \u00b7 m" in text
    assert "12.5 ms, from 0 ms on" in text
    assert "1,200, \u2013" in text
    assert "0.001200 USD" in text
    assert "Nobody has scored this trace" in text
    unknown = replace(VIEW, spans=(replace(SPAN, duration_ms=None, cost=None, input_tokens=None),), left_out=9_800)
    text = " ".join(Seen(str(trace_html(unknown))).text.split())
    assert "unknown, from 0 ms on" in text
    assert "USD" not in text
    assert "9,800 further spans are not shown" in text


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_whatever_a_trace_holds_is_text(text: str) -> None:
    """Hostile text makes no tag and no attribute that a harmless one does not make, and nothing that acts."""

    def seen(said: str) -> Seen:
        message = Message(said, said + "x", "output", said, said)
        span = replace(SPAN, name=said, operation=said, model=said, tool=said, error=said, messages=(message,))
        outcome = OutcomeView(said, said, bad=True, source=said, comment=said)
        view = replace(VIEW, trace_id=said, service=said, spans=(span, replace(span, messages=(), note=said)))
        return Seen(str(trace_html(replace(view, outcomes=(outcome,)))))

    hostile, harmless = seen(text), seen("harmless")
    assert hostile.tags == harmless.tags
    assert hostile.attributes == harmless.attributes
    for acting in ("\x1b", "\x00", "\u202e", "\u2028", "\u200b"):
        assert acting not in hostile.text


def test_the_lines_of_a_message_stay() -> None:
    """A message is shown as it was written, on its own lines."""
    message = Message("user", "one\r\n\ttwo", "input")
    assert "<pre>one\n\ttwo</pre>" in str(trace_html(replace(VIEW, spans=(replace(SPAN, messages=(message,)),))))
