"""Which LLM and embedding spans, none of them above the other, report one and the same call.

Three marks tell it, in this order:

1. *A streaming request and its usage record* under one parent: Logfire writes a streamed call as a span
   without usage or response id and a zero-length one with it; the k-th of the first kind belongs to the k-th
   of the second.
2. *The same response id* in one trace, wherever the spans hang: a client and a gateway, two instrumentations.
   A provider gives an id once; small servers use one again, so two spans of one emitter that both carry
   tokens, the later begun after the earlier ended, stay two calls.
3. *Twins* under one parent: different emitters (service and instrumentation scope), no two different response
   ids, the same model, the same tokens (or on one side none), and almost the same interval. Two such spans of
   one emitter are two calls. With the same tokens they are twins too where one's parent stands above the
   other's: a framework's callbacks do not make their span the parent of the client's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl

from analytics.pricing.arithmetic import TOKEN_COLUMNS as COUNTS
from analytics.span_tree import NO_PARENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from analytics.span_tree import Mask, Rows, SpanTree

TOKEN_COLUMNS = (*COUNTS, "token_rule", "token_conflict")
# How far apart the ends of two reports of one call may lie: a share of the longer one, at least so much.
TWIN_SHARE = 0.1
TWIN_NANOSECONDS = 50_000_000
# What of a call's rows belongs to its place in the trace, not to what was said of it.
_PLACE = ("trace_id", "span_id", "parent_span_id", "row")
_SEPARATOR = "\x1f"


class MergedCalls(NamedTuple):
    """LLM and embedding spans, one row for all reports of a call that lie beside each other.

    Attributes:
        calls: the given columns, in row order. A call stands at its longest report and spans all of them; of
            what is said of it the first known counts, of tokens the fullest report, and it failed if all did.
        report_of: for each row of the whole batch the row that it was merged into, else itself.
    """

    calls: pl.DataFrame
    report_of: Rows


def merge_reports(calls: pl.DataFrame, tree: SpanTree) -> MergedCalls:
    """Merge the reports of one call.

    Args:
        calls: LLM and embedding spans with ``row``, their row in the tree, sorted by trace and start.
        tree: the ancestry of the whole batch.

    Returns:
        One row per call, and where each row went.
    """
    report_of = np.arange(len(tree.parent), dtype=np.int64)
    calls = calls.with_columns(pl.col("response_id").replace("", None))
    calls = _merge(calls, _streamed(calls), report_of)
    calls = _merge(calls, _by_response_id(calls, tree), report_of)
    beside = pl.col("parent_span_id").fill_null("")
    calls = _merge(calls, _twins(calls, beside, tokens_known=True), report_of)
    calls = _merge(calls, _twins(calls, beside, tokens_known=False), report_of)
    apart = _twins(calls, _outermost(calls, tree), tokens_known=True)
    calls = _merge(calls, _where_one_hangs_above(calls, apart, tree), report_of)
    return MergedCalls(calls.sort("row"), _settled(report_of))


def carries_tokens() -> pl.Expr:
    """A count above zero; null and zero both say nothing about who else reports the call."""
    return ((pl.col("input_tokens") > 0) | (pl.col("output_tokens") > 0)).fill_null(value=False)


def has_no_tokens() -> pl.Expr:
    """No count at all, not even zero."""
    return pl.col("input_tokens").is_null() & pl.col("output_tokens").is_null()


def _merge(calls: pl.DataFrame, key: pl.Series, report_of: Rows) -> pl.DataFrame:
    """Merge the rows of each key (null: alone), and note in ``report_of`` where they went."""
    calls = calls.with_columns(key.alias("report"))
    together = ["trace_id", "report"]
    repeated = pl.col("report").is_not_null() & (pl.len().over(together) > 1)
    calls = calls.with_columns(repeated=repeated)
    if not calls["repeated"].any():
        return calls.drop("report", "repeated")
    told = pl.sum_horizontal(pl.col(TOKEN_COLUMNS).is_not_null().cast(pl.UInt32))
    several = calls.filter("repeated").with_columns(
        carries=carries_tokens(), told=told, length=pl.col("end_time") - pl.col("start_time")
    )
    several = several.sort(["length", "start_time", "span_id"], descending=[True, False, False], maintain_order=True)
    said = [name for name in calls.columns if name not in {*_PLACE, *TOKEN_COLUMNS, *_MERGED_OTHERWISE}]
    one = several.group_by(together, maintain_order=True).agg(
        pl.col(name for name in _PLACE if name != "trace_id").first(),
        pl.col("start_time").min(),
        pl.col("end_time").max(),
        pl.col(said).first(ignore_nulls=True),
        pl.col("is_error").all(),
        pl.col(TOKEN_COLUMNS).sort_by("carries", "told", descending=True, maintain_order=True).first(),
        rows=pl.col("row"),
    )
    went = one.select("row", "rows").explode("rows")
    report_of[went["rows"].to_numpy()] = went["row"].to_numpy()
    alone = calls.filter(~pl.col("repeated")).drop("report", "repeated")
    return pl.concat([alone, one.select(alone.columns)])


_MERGED_OTHERWISE = ("report", "repeated", "start_time", "end_time", "is_error")


def _settled(report_of: Rows) -> Rows:
    """Follow the rows that were merged more than once to where they stayed."""
    while not np.array_equal(further := report_of[report_of], report_of):
        report_of = further
    return report_of


def _emitter() -> pl.Expr:
    return pl.concat_str(pl.col("service_name", "scope_name").fill_null(""), separator=_SEPARATOR)


def _by_response_id(calls: pl.DataFrame, tree: SpanTree) -> pl.Series:
    """The response id of each span that no span above it has as well; numbered where an emitter uses it again."""
    ids = np.full(len(tree.parent), -1, dtype=np.int64)
    named = calls["response_id"].is_not_null().to_numpy()
    rows = calls["row"].to_numpy()
    codes = calls["response_id"].rank("dense").cast(pl.Int64).fill_null(-1).to_numpy()
    ids[rows] = codes
    above = tree.nearest(ids >= 0)[rows]
    below_same: Mask = named & (above != NO_PARENT)
    below_same[below_same] = ids[above[below_same]] == codes[below_same]
    calls = calls.select(
        "trace_id",
        "start_time",
        "end_time",
        id=pl.when(~pl.Series(below_same)).then("response_id"),
        carries=carries_tokens(),
        emitter=_emitter(),
        position=pl.row_index(),
    ).sort("trace_id", "start_time", "position")
    same = ["trace_id", "id", "emitter"]
    billed_until = pl.when("carries").then("end_time").cum_max().forward_fill().shift(1).over(same)
    again = pl.col("carries") & (pl.col("start_time") >= billed_until).fill_null(value=False)
    calls = calls.with_columns(again=again).with_columns(use=pl.col("again").cum_sum().over("trace_id", "id"))
    return calls.sort("position").select(
        key=pl.concat_str(pl.lit("id"), "id", pl.col("use").cast(pl.String), separator=_SEPARATOR)
    )["key"]


def _streamed(calls: pl.DataFrame) -> pl.Series:
    """Number requests without usage and zero-length records with it, so that equal numbers are one call."""
    alike = ["trace_id", "parent_span_id", "scope_name", "request_model"]
    unnamed = pl.col("response_id").is_null()
    usage_record = (pl.col("start_time") == pl.col("end_time")) & (carries_tokens() | ~unnamed)
    waiting = unnamed & has_no_tokens() & ~pl.col("is_error")
    ordinal = (
        pl.when(usage_record)
        .then(usage_record.cum_sum().over(alike, order_by=["start_time", "span_id"]))
        .when(waiting)
        .then(waiting.cum_sum().over(alike, order_by=["start_time", "span_id"]))
    )
    place = pl.concat_str(
        pl.lit("streamed"),
        pl.col("parent_span_id", "scope_name", "request_model").fill_null(""),
        ordinal.cast(pl.String),
        separator=_SEPARATOR,
    )
    return calls.select(key=place)["key"]


def _outermost(calls: pl.DataFrame, tree: SpanTree) -> pl.Expr:
    """One place in the trace for all calls with no call above them, and for each other one a place of its own."""
    marked = np.zeros(len(tree.parent), dtype=np.bool_)
    rows = calls["row"].to_numpy()
    marked[rows] = True
    below = pl.Series(tree.has_ancestor(marked)[rows])
    return pl.when(below).then("span_id").otherwise(pl.lit(""))


def _where_one_hangs_above(calls: pl.DataFrame, key: pl.Series, tree: SpanTree) -> pl.Series:
    """Of the spans of each key the first, and those whose parent stands above its parent or below it."""
    rows = calls["row"].to_list()
    kept: list[str | None] = key.to_list()
    first: dict[str, int] = {}
    for position, name in enumerate(kept):
        if name is None:
            continue
        one, other = int(tree.parent[rows[first.setdefault(name, position)]]), int(tree.parent[rows[position]])
        if one != other and one not in _above(tree, other) and other not in _above(tree, one):
            kept[position] = None
    return pl.Series(key.name, kept, dtype=pl.String)


def _above(tree: SpanTree, row: int) -> Iterator[int]:
    while row != NO_PARENT:
        row = int(tree.parent[row])
        yield row


def _twins(calls: pl.DataFrame, place: pl.Expr, *, tokens_known: bool) -> pl.Series:
    """Name the twins: in a cluster of starts, the k-th span of each emitter, if the ends agree too.

    With known tokens, spans with equal counts are compared; without, spans of one model of which one side has
    no counts at all. Only spans of one place are compared.
    """
    model = pl.coalesce("request_model", "response_model")
    length = (pl.col("end_time") - pl.col("start_time")).dt.total_nanoseconds()
    frame = calls.select(
        "trace_id",
        "start_time",
        "end_time",
        "request_model",
        "response_model",
        "response_id",
        "input_tokens",
        "output_tokens",
        "gen_ai_span_kind",
        place=place,
        model=model,
        emitter=_emitter(),
        carries=carries_tokens(),
        empty=has_no_tokens(),
        tolerance=pl.max_horizontal(length * TWIN_SHARE, pl.lit(TWIN_NANOSECONDS)).cast(pl.Int64),
        position=pl.row_index(),
    )
    alike = ["trace_id", "place", "gen_ai_span_kind"]
    frame = frame.filter(pl.col("emitter").n_unique().over(alike) > 1)
    if tokens_known:
        alike += ["input_tokens", "output_tokens"]
        frame = frame.filter("carries")
    else:
        alike += ["model"]
        frame = frame.filter(pl.col("empty").any().over(alike))
    if frame.is_empty():
        return pl.Series("key", [None] * len(calls), dtype=pl.String)
    return _paired(frame, alike, calls.height, one_side_empty=not tokens_known)


def _paired(frame: pl.DataFrame, alike: list[str], size: int, *, one_side_empty: bool) -> pl.Series:
    frame = frame.sort(*alike, "start_time", "position")
    gap = (pl.col("start_time") - pl.col("start_time").shift(1)).dt.total_nanoseconds().over(alike)
    frame = frame.with_columns(cluster=(gap > pl.col("tolerance")).fill_null(value=True).cum_sum().over(alike))
    clustered = [*alike, "cluster"]
    frame = frame.with_columns(turn=pl.int_range(pl.len()).over(*clustered, "emitter"))
    pair = [*clustered, "turn"]
    first = frame.group_by(pair, maintain_order=True).agg(
        pl.col(
            "start_time",
            "end_time",
            "tolerance",
            "request_model",
            "response_model",
            "response_id",
            "empty",
            "position",
        ).first()
    )
    joined = frame.join(first, on=pair, suffix="_first", nulls_equal=True, maintain_order="left")
    tolerance = pl.max_horizontal("tolerance", "tolerance_first")
    close = pl.all_horizontal(
        (pl.col(end) - pl.col(f"{end}_first")).dt.total_nanoseconds().abs() <= tolerance
        for end in ("start_time", "end_time")
    )
    one_model = (
        pl.any_horizontal(
            pl.col(mine) == pl.col(f"{theirs}_first")
            for mine in ("request_model", "response_model")
            for theirs in ("request_model", "response_model")
        ).fill_null(value=False)
        | pl.coalesce("request_model", "response_model").is_null()
        | pl.coalesce("request_model_first", "response_model_first").is_null()
    )
    one_id = (pl.col("response_id") == pl.col("response_id_first")).fill_null(value=True)
    fits = close & one_model & one_id
    if one_side_empty:
        fits &= pl.col("empty") | pl.col("empty_first")
    twins = joined.filter(fits | (pl.col("position") == pl.col("position_first"))).select(
        "position", key=pl.concat_str(pl.lit("twin"), pl.col("position_first").cast(pl.String), separator=_SEPARATOR)
    )
    return pl.DataFrame({"position": np.arange(size, dtype=np.uint32)}).join(
        twins, on="position", how="left", maintain_order="left"
    )["key"]
