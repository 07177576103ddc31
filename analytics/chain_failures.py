"""Which calls failed, so that the next call of their step was made because of it.

1. *Error*: the span ended in an error, or every answer has the finish reason ``error``. The next call of the
   step that begins after it answers it.
2. *Validation*: a validation evaluator failed the call's output (named by span or response id, of the call, a
   wrapper or another report of it), or a validation span after the call failed: an EVALUATOR or GUARDRAIL span,
   a CHAIN span named like a validator or an output parser, or a tool that refused its arguments. A span fails
   by its status, its guardrail's result, or an evaluation of its own.
3. *Filter*: every answer has the finish reason ``content_filter``.
4. *Length*: every answer has the finish reason ``length``, and the next call asks the same model for the same
   with a larger limit.

After 2 to 4 the application may as well have gone on. So these make the very next call of the step an attempt,
only if it began after the call, and its validation, had ended, and if no tool was run in between, save those
that refused their arguments: a loop of model and tools is no chain.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from analytics.span_tree import NO_PARENT

if TYPE_CHECKING:
    from analytics.calls import Account
    from analytics.span_tree import SpanTree

# Clocks of one host may step back by about this much between the end of a call and the start of the next.
OVERLAP_TOLERANCE = timedelta(milliseconds=1)
# Names of spans that check a model's output: "validate_order", "PydanticOutputParser", "parse_json".
VALIDATOR_NAME = r"(?i)validat|output.?pars|pars(e|er|ing).?(json|output|response|answer|result)|(schema|json).?check"
# Errors of a tool that say that the model's arguments were not usable, as opposed to a tool that broke.
ARGUMENT_ERROR = (
    r"(?i)validationerror|jsondecode|toolretry|modelretry|invalidtool|invalidargument|toolinput|schemaerror"
)
GUARDRAIL_FAILURE = r"(?i)^(fail(ed|ure)?|block(ed)?|den(y|ied)|reject(ed)?|false|flagged|(guardrail_)?intervened)$"
# Nanoseconds, said: polars takes a Python timedelta for microseconds, and the sum with it.
_TOLERANCE = pl.lit(OVERLAP_TOLERANCE, dtype=pl.Duration("ns"))
_STEP = ["trace_id", "step_id"]


def with_failures(
    found: Account, spans: pl.DataFrame, tree: SpanTree, failed_evaluations: pl.DataFrame
) -> pl.DataFrame:
    """Tell which calls failed, and from when on another call may answer the failure.

    Args:
        found: what :func:`analytics.calls.account` found in the spans.
        spans: :data:`analytics.calls.CALL_COLUMNS` of the same traces, sorted by trace and start.
        tree: the ancestry of the spans.
        failed_evaluations: ``trace_id``, ``span_id``, ``response_id`` of failed evaluations of output by
            validation evaluators.

    Returns:
        The calls in their order, with ``failed_validation`` (Boolean, rule 2), ``answer_failed`` (Boolean,
        rules 3 and 4, or a finish reason ``error``) and ``failed_at``: the earliest start of a call that
        answers the failure, null where none is to be answered.
    """
    calls = found.calls.with_row_index("call")
    steps = _steps(calls, spans, tree)
    judged = _judged_spans(spans, failed_evaluations)
    validations = _validations(spans.with_columns(step_id=steps, judged=judged))
    invalid = pl.concat([_evaluated(calls, found.reports, failed_evaluations), _validated(calls, validations)])
    invalid = invalid.group_by("call").agg(pl.col("validated_at").max())
    only = {
        reason: (pl.col("finish_reasons").list.len() > 0)
        & pl.col("finish_reasons").list.eval(pl.element() == reason).list.all()
        for reason in ("error", "content_filter", "length")
    }
    calls = calls.join(invalid, on="call", how="left", maintain_order="left").with_columns(
        failed_validation=pl.col("call").is_in(invalid["call"].implode()),
        **{f"only_{reason}": condition.fill_null(value=False) for reason, condition in only.items()},
    )
    calls = calls.join(_next_calls(calls), on="call", how="left", maintain_order="left")
    tools = spans.with_columns(step_id=steps).filter((pl.col("gen_ai_span_kind") == "TOOL") & ~_refuses_arguments())
    calls = calls.join(_next_tools(calls, tools), on="call", how="left", maintain_order="left")
    over = pl.max_horizontal("end_time", "validated_at")
    went_on = (pl.col("tool_time") <= pl.col("next_start")).fill_null(value=False)
    directly = (pl.col("next_start") >= over - _TOLERANCE).fill_null(value=True) & ~went_on
    longer = (
        pl.col("only_length")
        & pl.col("request_model").eq(pl.col("next_model"))
        & (pl.col("next_max_tokens") > pl.col("max_tokens"))
    ).fill_null(value=False)
    soft = pl.col("failed_validation") | pl.col("only_content_filter") | longer
    return calls.with_columns(
        answer_failed=pl.col("only_error") | pl.col("only_content_filter") | (longer & directly),
        failed_at=pl.when(pl.col("is_error") | pl.col("only_error"))
        .then("end_time")
        .when(soft & directly & pl.col("is_call"))
        .then(over),
    ).drop("call", "validated_at", "next_start", "next_model", "next_max_tokens", "tool_time", "^only_.*$")


def _steps(calls: pl.DataFrame, spans: pl.DataFrame, tree: SpanTree) -> pl.Series:
    """The step of each span: the nearest span above it that a call was made under; null for the trace's top."""
    made_under = calls.filter("is_call").select("trace_id", span_id="step_id").drop_nulls().unique()
    is_step = spans.select("trace_id", "span_id").join(
        made_under.with_columns(is_step=pl.lit(value=True)),
        on=["trace_id", "span_id"], how="left", maintain_order="left",
    )["is_step"].fill_null(value=False).to_numpy()  # fmt: skip
    nearest = tree.nearest(is_step)
    return spans["span_id"].gather(pl.Series(nearest).replace(NO_PARENT, None)).rename("step_id")


def _refuses_arguments() -> pl.Expr:
    refused = pl.col("error_type").str.contains(ARGUMENT_ERROR)
    return (pl.col("status_code").eq("ERROR") & refused).fill_null(value=False)


def _judged_spans(spans: pl.DataFrame, failed_evaluations: pl.DataFrame) -> pl.Series:
    """Whether a failed validation names the span itself."""
    named = failed_evaluations.select("span_id", stated_trace="trace_id").drop_nulls("span_id").unique()
    found = (
        spans.select("trace_id", "span_id", row=pl.row_index())
        .join(named, on="span_id")
        .filter(pl.col("stated_trace").is_null() | (pl.col("stated_trace") == pl.col("trace_id")))
    )
    judged = np.zeros(len(spans), dtype=np.bool_)
    judged[found["row"].to_numpy()] = True
    return pl.Series("judged", judged)


def _validations(spans: pl.DataFrame) -> pl.DataFrame:
    """The validation spans that failed."""
    kind = pl.col("gen_ai_span_kind")
    failed = (pl.col("status_code").eq("ERROR") | pl.col("judged")).fill_null(value=False)
    blocked = pl.col("guardrail_result").str.contains(GUARDRAIL_FAILURE).fill_null(value=False)
    named = pl.col("name").str.contains(VALIDATOR_NAME).fill_null(value=False)
    return spans.filter(
        ((kind == "EVALUATOR") & failed)
        | ((kind == "GUARDRAIL") & (failed | blocked))
        | ((kind == "CHAIN") & named & failed)
        | ((kind == "TOOL") & _refuses_arguments())
    ).select("trace_id", "step_id", "start_time", "end_time")


def _validated(calls: pl.DataFrame, validations: pl.DataFrame) -> pl.DataFrame:
    """The call of the step that ended last before each failed validation span began."""
    ended = (
        calls.filter(pl.col("is_call") & (pl.col("gen_ai_span_kind") == "LLM"))
        .select("trace_id", pl.col("step_id").fill_null(""), "call", ended=pl.col("end_time"))
        .sort("ended", "call")
    )
    begun = validations.select(
        "trace_id",
        pl.col("step_id").fill_null(""),
        at=pl.col("start_time") + _TOLERANCE,
        validated_at=pl.col("end_time"),
    ).sort("at")
    return (
        begun.join_asof(ended, left_on="at", right_on="ended", by=_STEP, check_sortedness=False)
        .drop_nulls("call")
        .select("call", "validated_at")
    )


def _evaluated(calls: pl.DataFrame, reports: pl.DataFrame, failed_evaluations: pl.DataFrame) -> pl.DataFrame:
    """The calls that a failed evaluation names, by a span that reports or wraps the call, or by a response id."""
    by_span = reports.join(
        failed_evaluations.select("span_id", stated_trace="trace_id").drop_nulls("span_id").unique(), on="span_id"
    ).filter(pl.col("stated_trace").is_null() | (pl.col("stated_trace") == pl.col("trace_id")))
    by_response = reports.join(failed_evaluations.filter(pl.col("span_id").is_null()), on="response_id", how="semi")
    named = ["trace_id", "call_span_id"]
    found = pl.concat([by_span.select(named), by_response.select(named)]).unique()
    ids = calls.filter("is_call").select("trace_id", "call", call_span_id="span_id")
    return ids.join(found, on=named, how="semi").select("call", validated_at=pl.lit(None, dtype=pl.Datetime("ns")))


def _next_calls(calls: pl.DataFrame) -> pl.DataFrame:
    """The first call of the same kind and step that began after each call had ended."""
    frame = calls.filter("is_call").select(
        "call",
        "trace_id",
        "gen_ai_span_kind",
        "start_time",
        pl.col("step_id").fill_null(""),
        "request_model",
        "max_tokens",
        after=pl.max_horizontal(
            pl.col("end_time") - _TOLERANCE, pl.col("start_time") + pl.duration(nanoseconds=1, time_unit="ns")
        ),
    )
    later = frame.select(
        *_STEP, "gen_ai_span_kind", next_start="start_time", next_model="request_model", next_max_tokens="max_tokens"
    ).sort("next_start")
    return (
        frame.sort("after")
        .join_asof(
            later,
            left_on="after",
            right_on="next_start",
            by=[*_STEP, "gen_ai_span_kind"],
            strategy="forward",
            coalesce=False,
            check_sortedness=False,
        )
        .select("call", "next_start", "next_model", "next_max_tokens")
    )


def _next_tools(calls: pl.DataFrame, tools: pl.DataFrame) -> pl.DataFrame:
    """When the first tool of the same step began after each call had begun."""
    begun = tools.select("trace_id", pl.col("step_id").fill_null(""), tool_time="start_time").sort("tool_time")
    return (
        calls.select("call", "trace_id", "start_time", pl.col("step_id").fill_null(""))
        .sort("start_time")
        .join_asof(
            begun,
            left_on="start_time",
            right_on="tool_time",
            by=_STEP,
            strategy="forward",
            coalesce=False,
            check_sortedness=False,
        )
        .select("call", "tool_time")
    )
