"""Rows per second of the decode stage with a content policy beside the same without, on the same requests.

Each run decodes every request into the store's rows twice, with and without, and prints MB of requests a second and the
ratio. The texts hold dates, numbers and addresses of the kind that patterns look at twice.

    python benchmarks/redaction.py [--runs 7] [--requests 40] [--spans 128] [--content-bytes 2000 20000]
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from datetime import datetime

from figures import Row, tell
from payloads import trace_request

from collector.content import Content
from collector.decode import decode_traces
from collector.patterns import PATTERNS
from collector.redact import ContentPolicy, content_policy
from collector.rows import span_rows

NOW = datetime(2026, 11, 24)  # noqa: DTZ001 (the store's times are naive UTC)
GROUP_BYTES = 8 * 2**20
POLICIES = {
    "secrets": ({}, ("secrets",)),
    "all patterns": ({}, tuple(PATTERNS)),
    "hash": (dict.fromkeys(Content, "hash"), ()),
    "drop": (dict.fromkeys(Content, "drop"), ()),
}


def policy(name: str) -> ContentPolicy | None:
    """One of the policies that are measured."""
    actions, patterns = POLICIES[name]
    return content_policy(
        actions, truncate_characters=2000, hash_key="k" * 16, attributes=(), patterns=patterns, custom_patterns={},
        unmasked=(),
    )  # fmt: skip


def text(source: random.Random, size: int) -> str:
    """Prose with numbers, times and now and then an address."""
    words: list[str] = []
    length = 0
    while length < size:
        word = source.choices(
            ("refund", "the", "order", f"#{source.randrange(10**6)}", f"2026-11-{source.randrange(10, 29)}",
             f"12:30:{source.randrange(10, 60)}", f"{source.random():.6f}", "https://shop.example/path?id=7", "café",
             f"{source.choice('abc')}@example.com"),
            weights=(30, 60, 30, 10, 5, 5, 5, 2, 2, 0.2),
        )[0]  # fmt: skip
        words.append(word)
        length += len(word) + 1
    return " ".join(words)


def payloads(requests: int, spans: int, content_bytes: int) -> list[bytes]:
    """Requests whose LLM spans carry a prompt and a completion of about ``content_bytes`` each."""
    source = random.Random(7)  # noqa: S311 (a payload, not a secret)
    made = []
    for number in range(requests):
        request = trace_request(number, spans, content_bytes=(10, 10))
        for span in request.resource_spans[0].scope_spans[0].spans:
            for attribute in span.attributes:
                if attribute.key.endswith(".messages"):
                    attribute.value.string_value = text(source, content_bytes)
        made.append(request.SerializeToString())
    return made


def groups(given: list[bytes]) -> list[list[bytes]]:
    """Requests as the collector takes them: together up to 8 MiB."""
    taken: list[list[bytes]] = [[]]
    for payload in given:
        if sum(map(len, taken[-1])) > GROUP_BYTES:
            taken.append([])
        taken[-1].append(payload)
    return taken


def seconds(given: list[list[bytes]], content: ContentPolicy | None) -> float:
    """The time in which requests become rows."""
    started = time.perf_counter()
    for group in given:
        spans = decode_traces(group)
        if content:
            spans, _ = content.apply_to_spans(spans)
        span_rows(spans, [None] * len(group), NOW)
    return time.perf_counter() - started


def main() -> None:
    """Alternate the two and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--spans", type=int, default=128)
    parser.add_argument("--content-bytes", type=int, nargs="+", default=[2000, 20000])
    options = parser.parse_args()
    rows: list[Row] = []
    for size in options.content_bytes:
        given = payloads(options.requests, options.spans, size)
        mega = sum(map(len, given)) / 1e6
        grouped = groups(given)
        print(f"{options.requests} requests of {options.spans} spans, texts of {size} bytes, {mega:.0f} MB")
        for name in POLICIES:
            content = policy(name)
            seconds(grouped, content)
            pairs = [(seconds(grouped, None), seconds(grouped, content)) for _ in range(options.runs)]
            without, with_policy = (statistics.median(times) for times in zip(*pairs, strict=True))
            ratios = [first / second for first, second in pairs]
            print(
                f"  {name}: {mega / with_policy:,.0f} MB/s with, {mega / without:,.0f} MB/s without; ratio: median"
                f" {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})"
            )
            rows.append(
                {
                    "policy": name,
                    "texts": f"{size / 1000:g} kB",
                    "MB a second with it": mega / with_policy,
                    "median ratio of speed": statistics.median(ratios),
                    "from": min(ratios),
                    "to": max(ratios),
                }
            )
    tell(rows)


if __name__ == "__main__":
    main()
