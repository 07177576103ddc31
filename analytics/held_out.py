"""The held-out design: which runs of a data set's items are stored, and what is compared of them.

A run says which item it is of in an attribute, on any of its spans or on its resource. A trace that holds the runs of
several items (Pydantic Evals makes one trace of a whole experiment) is taken apart: each run is what lies below the
outermost span that names its item.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.metrics import OUTCOME_PREFIX
from analytics.pairs import PAIR
from analytics.report.model import Check, CheckStatus
from analytics.span_tree import NO_PARENT, SpanTree
from analytics.targets import match_targets
from analytics.trace_rows import NO_COHORT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from analytics.promotions import Promotion

_PLAIN = re.compile(r"[\w.-]+", re.ASCII)
_REPEAT = r" \[\d+/\d+\]$"
"""What Pydantic Evals puts behind a case's name when it runs it several times."""


@dataclass(frozen=True)
class Frames:
    """What is read of a store for a report, runs told apart.

    Attributes:
        spans: those of the runs; ``trace_id`` is that of the run.
        evaluations: as stored, with the runs' trace ids.
        feedback: the same.
        runs: ``trace_id`` and ``item_id``.
    """

    spans: pl.DataFrame
    evaluations: pl.DataFrame
    feedback: pl.DataFrame
    runs: pl.DataFrame


def item_parameters(attributes: Sequence[str], of_resources: Mapping[str, str]) -> dict[str, list[str] | str]:
    """The parameters of the read ``item_spans``.

    Args:
        attributes: where to look. A name is that of an attribute, or of an attribute that is a JSON object and, behind
            the last dot, a key of it.
        of_resources: what :func:`items_of_resources` found.
    """
    inner = [name.rpartition(".") for name in attributes if "." in name]
    return {
        "item_paths": [_pointer(name) for name in attributes],
        "object_paths": [_pointer(name) for name, _, _ in inner],
        "key_paths": [_pointer(key) for _, _, key in inner],
        "pattern": "|".join(_in_json(name) for name in attributes),
        "resources": list(of_resources),
    }


def _in_json(name: str) -> str:
    """A pattern (RE2) of every JSON text in which a name, or an object and a key of it, stands."""
    if not _PLAIN.fullmatch(name):
        return ""  # Such a name may be written in several ways: it matches all.
    object_name, _, key = name.rpartition(".")
    inner = f'|(?s:"{re.escape(object_name)}".*{re.escape(key)})' if object_name else ""
    return re.escape(name) + inner


def _pointer(name: str) -> str:
    """A JSON pointer (RFC 6901) to one key."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def items_of_resources(resources: pl.DataFrame, attributes: Sequence[str], items: pl.DataFrame) -> dict[str, str]:
    """Resource id → the item that the resource names.

    Args:
        resources: ``resource_id`` and ``attributes`` (JSON).
        attributes: where to look, the first that holds an item deciding.
        items: ``item_id`` of the data set.
    """
    known = set(items["item_id"])
    found = {}
    for resource_id, text in resources.select("resource_id", "attributes").iter_rows():
        values = json.loads(text)
        item = next((str(values[name]) for name in attributes if str(values.get(name)) in known), None)
        if item is not None:
            found[resource_id] = item
    return found


def items_of_spans(named: pl.DataFrame, of_resources: Mapping[str, str], items: pl.DataFrame) -> pl.DataFrame:
    """Which item each span is of: what it says itself, in a trace that says nothing what its resource says.

    Args:
        named: ``trace_id``, ``span_id``, ``resource_id`` and ``named`` (what the attributes hold, most trusted first).
        of_resources: what :func:`items_of_resources` found.
        items: ``item_id`` of the data set.

    Returns:
        ``trace_id``, ``span_id`` and ``item_id``, each span once.
    """
    known = items["item_id"].implode()
    of_spans = (
        named.with_row_index("row")
        .explode("named")
        .drop_nulls("named")
        .with_columns(
            item_id=pl.when(pl.col("named").is_in(known))
            .then("named")
            .otherwise(pl.col("named").str.replace(_REPEAT, ""))
        )
        .filter(pl.col("item_id").is_in(known))
        .unique("row", keep="first", maintain_order=True)
    )
    silent = named.join(of_spans, on="trace_id", how="anti")
    told = silent.with_columns(
        item_id=pl.col("resource_id").replace_strict(
            list(of_resources), list(of_resources.values()), default=None, return_dtype=pl.String
        )
    ).drop_nulls("item_id")
    columns = ("trace_id", "span_id", "item_id")
    return pl.concat([of_spans.select(columns), told.select(columns)]).unique(
        ["trace_id", "span_id"], keep="first", maintain_order=True
    )


def separate_runs(spans: pl.DataFrame, evaluations: pl.DataFrame, feedback: pl.DataFrame, said: pl.DataFrame) -> Frames:
    """Find the runs of the items among the spans.

    Args:
        spans: as for ``trace_frame``.
        evaluations: the same.
        feedback: the same.
        said: what :func:`items_of_spans` found.
    """
    of_trace = said.group_by("trace_id").agg(pl.col("item_id").unique())
    whole = of_trace.filter(pl.col("item_id").list.len() == 1).select("trace_id", pl.col("item_id").list.first())
    several = of_trace.filter(pl.col("item_id").list.len() > 1).select("trace_id")
    apart = _apart(spans.join(several, on="trace_id", how="semi"), said)
    moved = apart.select(was="trace_id", span_id="span_id", run="run")
    runs = pl.concat([whole, apart.select(trace_id="run", item_id="item_id").unique()])
    kept = spans.join(whole, on="trace_id", how="semi")
    taken_apart = apart.with_columns(trace_id="run").select(spans.columns)
    return Frames(
        pl.concat([kept, taken_apart]), _follow(evaluations, moved), _follow(feedback, moved), runs.sort("trace_id")
    )


def _apart(spans: pl.DataFrame, said: pl.DataFrame) -> pl.DataFrame:
    """The spans of traces with several items, with the ``item_id`` and the ``run`` that each belongs to.

    What lies under no span that names an item belongs to no run. The outermost spans of a run have no parent in it.
    """
    spans = spans.join(said, on=["trace_id", "span_id"], how="left", maintain_order="left")
    parent = SpanTree.of(spans).parent
    names_item = spans["item_id"].is_not_null().to_numpy()
    own = np.arange(len(parent))
    outermost = np.where(names_item, own, NO_PARENT)
    above = parent.copy()
    while (above != NO_PARENT).any():
        there = above != NO_PARENT
        outermost = np.where(there & names_item[above], above, outermost)
        above = np.where(there, parent[above], NO_PARENT)
    item = spans["item_id"].gather(np.where(outermost == NO_PARENT, 0, outermost)) if len(parent) else spans["item_id"]
    return (
        spans.with_columns(
            item_id=item,
            in_run=pl.Series(outermost != NO_PARENT),
            parent_span_id=pl.when(pl.Series(outermost == own)).then(None).otherwise("parent_span_id"),
        )
        .filter("in_run")
        .with_columns(run=pl.concat_str("trace_id", "item_id", separator="/"))
    )


def _follow(outcomes: pl.DataFrame, moved: pl.DataFrame) -> pl.DataFrame:
    """Outcomes of a span of a trace that was taken apart speak of the span's run."""
    return (
        outcomes.join(moved, left_on=["trace_id", "span_id"], right_on=["was", "span_id"], how="left")
        .with_columns(trace_id=pl.coalesce("run", "trace_id"))
        .select(outcomes.columns)
    )


def as_pairs(traces: pl.DataFrame, frames: Frames, items: pl.DataFrame) -> pl.DataFrame:
    """The traces of the runs, each in its item's cohort, with the item as unit and pair.

    Outcomes of names that no run has are left out: their absence says nothing, for no user met these answers.
    """
    heard = set(match_targets(frames.feedback, frames.spans)["name"])
    unheard = [
        name
        for name in traces.columns
        if name.startswith(OUTCOME_PREFIX) and name.removeprefix(OUTCOME_PREFIX) not in heard
    ]
    cohorts = items.select("item_id", item_cohort="cohort")
    return (
        traces.drop(unheard)
        .join(frames.runs, on="trace_id")
        .join(cohorts, on="item_id", how="left")
        .with_columns(
            pl.coalesce("item_cohort", "cohort").fill_null(NO_COHORT).alias("cohort"),
            pl.col("item_id").alias("unit"),
            pl.col("item_id").alias(PAIR),
        )
        .drop("item_id", "item_cohort")
        .sort("trace_id")
    )


def compared(runs: pl.DataFrame) -> pl.DataFrame:
    """The runs of items that both arms ran."""
    return runs.filter(pl.col("arm").n_unique().over("cohort", PAIR) > 1)


def item_check(runs: pl.DataFrame, items: pl.DataFrame, promotion: Promotion) -> Check:
    """Say how many items are compared, and of which a run is missing.

    Args:
        runs: traces of the runs, each in an arm.
        items: of the data set.
        promotion: names the models and the data set.
    """
    of_arm = {arm: set(runs.filter(pl.col("arm") == arm)[PAIR]) for arm in ("base", "candidate")}
    both, total = set(compared(runs)[PAIR]), items.height
    detail = f"{len(both):,} of the {total:,} items of {promotion.dataset} were run by both models and are compared"
    if len(both) == total:
        return Check("unpaired_items", None, CheckStatus.PASS, f"{detail}.")
    missing = {
        f"only by {promotion.base}": len(of_arm["base"] - of_arm["candidate"]),
        f"only by {promotion.candidate}": len(of_arm["candidate"] - of_arm["base"]),
        "by neither": total - len(of_arm["base"] | of_arm["candidate"]),
    }
    told = ", ".join(f"{count:,} {by}" for by, count in missing.items() if count)
    if both:
        mend = "run the others too, for the verdicts speak only of what both ran."
        return Check("unpaired_items", None, CheckStatus.WARN, f"{detail}; {told}: {mend}")
    mend = (
        "run the items with both models, and let the traces say which item they are of, in an attribute that"
        " datasets.item_attributes names."
    )
    return Check("unpaired_items", None, CheckStatus.FAIL, f"{detail}; {told}: {mend}")
