"""``spanverdict prices``: which prices apply, what has none, and history priced anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import click
import polars as pl

from analytics.derive import mark_stale
from analytics.pricing.applied import price_list
from analytics.pricing.findings import UNPRICED, find
from analytics.pricing.matching import Matcher, Subject
from analytics.pricing.usage import repriced, usage
from spanverdict.derivation import bring_up_to_date
from spanverdict.job_options import job_options
from spanverdict.options import Settings, Time, store_options
from spanverdict.output import FORMATS, printable, write_rows
from sql import statements
from sql.access import Access, open_store
from sql.clock import utc_now

CALLS_AT_ONCE = 200_000
"""Calls priced at once, as far as whole hours allow: what bounds memory."""

_HOUR = timedelta(hours=1)
_BEGINNING = datetime(1970, 1, 1)  # noqa: DTZ001 (the store's times are naive UTC)
_format = click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)


@click.group("prices")
def prices_command() -> None:
    """What calls cost: prices that apply, models without one, history priced anew."""


@prices_command.command("list")
@click.option("--model", help="Only models with this text in their name; an exact name is looked up in the list too.")
@click.option("--at", type=Time(), help="Prices of that time; default: now.")
@_format
@store_options
def prices_list(settings: Settings, model: str | None, at: datetime | None, form: str) -> None:
    """List your own prices, and the price of each model that the store knows, in USD per million tokens."""
    book = job_options(settings.config).prices
    with open_store(settings.db) as store:
        found = pl.DataFrame(pl.from_arrow(store.read(statements.read("priced_models"))))
    subjects = [Subject(*row) for row in found.select(Subject._fields).iter_rows()]
    if model is not None and not any(model in (one.request_model, one.response_model) for one in subjects):
        subjects.append(Subject(None, model, None, None, None))
    rows = price_list(book.own, Matcher(book.own, book.exchange_rates), subjects, at or utc_now())
    if model is not None:
        names = pl.col("model", "response_model", "price").str.to_lowercase()
        rows = rows.filter(pl.any_horizontal(names.str.contains(model.lower(), literal=True)))
    write_rows(rows.to_arrow(), form, None)


@prices_command.command("check")
@click.option("--since", type=Time(), help="Only calls from then on.")
@_format
@store_options
def prices_check(settings: Settings, since: datetime | None, form: str) -> None:
    """Say what has no price and what to write. Exits with 1 if tokens of any call are without a price, else 0."""
    book = job_options(settings.config).prices
    with open_store(settings.db) as store:
        findings = find(book, usage(book, _calls(store, since or _BEGINNING)))
    if form == "table":
        if findings.is_empty():
            click.echo("Every token of every call has a price, and nothing in [[prices]] stands out.", err=True)
            return
        write_rows(findings.drop("write").to_arrow(), form, None)
        if entries := findings["write"].drop_nulls().to_list():
            click.echo("\nTo write into the configuration, where it is right:\n")
            click.echo(printable("\n\n".join(entries)))
    else:
        write_rows(findings.to_arrow(), form, None)
    raise SystemExit(int((findings["finding"] == UNPRICED).any()))


@prices_command.command("reprice")
@click.option("--since", type=Time(), help="Only traces with a call from then on.")
@click.option("--model", help="Only traces with a call that asked for, or was answered by, this model.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show whose cost would change, by model.")
@_format
@store_options
def prices_reprice(settings: Settings, since: datetime | None, model: str | None, form: str, *, dry_run: bool) -> None:
    """Price the calls of the store anew, from their token counts, after prices have changed."""
    options = job_options(settings.config)
    if dry_run:
        with open_store(settings.db) as store:
            used = usage(options.prices, _calls(store, since or _BEGINNING, model))
        write_rows(repriced(used).to_arrow(), form, None)
        return
    with open_store(settings.db, write=True) as store:
        marked = mark_stale(store, since=since, model=model)
        _, step, _ = bring_up_to_date(store, options)
    click.echo(f"Marked {marked:,} traces; derived {step.calls:,} calls of {step.traces:,} traces.", err=True)


def _calls(store: Access, since: datetime, model: str | None = None) -> Iterator[pl.DataFrame]:
    """The calls of the store from a moment on, in parts of whole hours; one empty part at least."""
    hours = store.read(statements.read("price_windows"), {"since": since}).to_pylist()
    begin, held = since, 0
    for hour in hours:
        if held and held + hour["calls"] > CALLS_AT_ONCE:
            yield _part(store, begin, hour["begins"], model)
            begin, held = hour["begins"], 0
        held += hour["calls"]
    end = hours[-1]["begins"] + _HOUR if hours else since
    yield _part(store, begin, end, model)


def _part(store: Access, since: datetime, until: datetime, model: str | None) -> pl.DataFrame:
    rows = store.read(statements.read("price_calls"), {"since": since, "until": until, "model": model})
    return pl.DataFrame(pl.from_arrow(rows))
