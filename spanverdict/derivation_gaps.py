"""What a query asks for that has not been derived or matched yet."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from sql.access import Reader

_DERIVED = re.compile(r"\b(calls|attempt_chains|trace_costs|unpriced_tokens)\b", re.IGNORECASE)
"""The relations that hold what a derivation has written."""

_MATCHED = re.compile(
    r"\b(outcome_matches|evaluations_by_trace|feedback_by_trace|unmatched_outcomes(_by_age)?)\b", re.IGNORECASE
)
"""The relations that hold what matching has found."""


def tell_what_is_missing(store: Reader, query: str) -> None:
    """Say on standard error if a query asks for what is derived or matched, and not all of it is yet."""
    for sentence in what_is_missing(store, query):
        click.echo(sentence, err=True)


def what_is_missing(store: Reader, query: str) -> Iterator[str]:
    """Say what a query asks for that has not been derived or matched yet, a sentence each; nothing if all has been."""
    if _DERIVED.search(query):
        yield from _not_derived(store)
    if _MATCHED.search(query):
        yield from _not_matched(store)


def _not_derived(store: Reader) -> Iterator[str]:
    left = store.read("SELECT spans_left, traces_left FROM derivation_progress").to_pylist()[0]
    if left["spans_left"] or left["traces_left"]:
        yield (
            f"Calls, chains and costs lack {left['spans_left']:,} spans that have just arrived and"
            f" {left['traces_left']:,} traces to derive anew; a running server"
            " derives them within seconds, else `spanverdict derive` does."
        )


def _not_matched(store: Reader) -> Iterator[str]:
    left = store.read("SELECT outcomes_left, look_backs_left, spans_left FROM matching_progress").to_pylist()[0]
    if left["outcomes_left"] or left["spans_left"]:
        yield (
            f"{left['outcomes_left']:,} outcomes and {left['spans_left']:,} spans that have just arrived have not been"
            " matched with each other; `spanverdict derive` does it."
        )
    elif left["look_backs_left"]:
        yield (
            f"{left['look_backs_left']:,} outcomes have been looked for around their own time only;"
            " `spanverdict derive` looks everywhere."
        )
