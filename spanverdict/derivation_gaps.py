"""What a query asks for that has not been derived or matched yet."""

from __future__ import annotations

import re

import click

from sql.access import Access

_DERIVED = re.compile(r"\b(calls|attempt_chains|trace_costs|unpriced_tokens)\b", re.IGNORECASE)
"""The relations that hold what a derivation has written."""

_MATCHED = re.compile(
    r"\b(outcome_matches|evaluations_by_trace|feedback_by_trace|unmatched_outcomes(_by_age)?)\b", re.IGNORECASE
)
"""The relations that hold what matching has found."""


def tell_what_is_missing(store: Access, query: str) -> None:
    """Say on standard error if a query asks for what is derived or matched, and not all of it is yet."""
    if _DERIVED.search(query):
        _tell_what_is_not_derived(store)
    if _MATCHED.search(query):
        _tell_what_is_not_matched(store)


def _tell_what_is_not_derived(store: Access) -> None:
    left = store.read("SELECT spans_left, traces_left FROM derivation_progress").to_pylist()[0]
    if left["spans_left"] or left["traces_left"]:
        click.echo(
            f"Calls, chains and costs lack {left['spans_left']:,} spans that have just arrived and"
            f" {left['traces_left']:,} traces to derive anew; `spanverdict derive` brings them up to date.",
            err=True,
        )


def _tell_what_is_not_matched(store: Access) -> None:
    left = store.read("SELECT outcomes_left, look_backs_left, spans_left FROM matching_progress").to_pylist()[0]
    if left["outcomes_left"] or left["spans_left"]:
        click.echo(
            f"{left['outcomes_left']:,} outcomes and {left['spans_left']:,} spans that have just arrived have not been"
            " matched with each other; `spanverdict derive` does it.",
            err=True,
        )
    elif left["look_backs_left"]:
        click.echo(
            f"{left['look_backs_left']:,} outcomes have been looked for around their own time only;"
            " `spanverdict derive` looks everywhere.",
            err=True,
        )
