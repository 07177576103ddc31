"""Did both arms run with the same prompts, tools, index and instrumentation? What a deployment sets, by its mix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from analytics.mix import MixDifference, compare_mix, mix_in_words, percent
from analytics.report.model import Check, CheckStatus
from analytics.validity.order import SEVERITY

COST_METRICS = ("cost_per_trace",)
TOKEN_METRICS = ("input_tokens", "output_tokens", *COST_METRICS)

# Shares of traces: below these a difference of a deployment's field cannot move a verdict.
MIX_TOLERANCE = 0.02

# Texts that mostly one user met each are no versions.
_MOST_OF_ONE_UNIT = 0.5
_HASH_SHOWN = 8
_MAY_BE_CHANCE = "so few traces of each can differ by chance, look again with more."


def differs(difference: MixDifference) -> CheckStatus:
    """Fail on a difference above the tolerance; warn if it is one that few traces could show by chance."""
    if difference.distance <= MIX_TOLERANCE:
        return CheckStatus.PASS
    return CheckStatus.FAIL if difference.significant or difference.disjoint else CheckStatus.WARN


@dataclass(frozen=True)
class _Field:
    """A version that a deployment sets.

    Attributes:
        check: the check's name.
        column: of the traces frame.
        plural: what it is called in a sentence.
        drift: what changed too, and the mend.
        record: what to record where nothing is known.
        by_content: whether it is the hash of a text, which may be made for each request.
    """

    check: str
    column: str
    plural: str
    drift: str
    record: str
    by_content: bool = False


_FIELDS = (
    _Field(
        "prompt_version",
        "prompt_version",
        "prompt versions",
        "the prompt changed too, so give both arms the same one",
        "the traces carry no prompt version; record one so that prompt drift can be told from the model",
    ),
    _Field(
        "system_prompt",
        "system_prompt",
        "system prompts",
        "the instructions changed too, so give both arms the same ones",
        "the traces carry no system prompt, or the content policy keeps none; record it, or a version or hash of it in "
        "the attribute that report.system_prompt_attribute names",
        by_content=True,
    ),
    _Field(
        "tool_schema",
        "tool_schema",
        "definitions of tools",
        "the tools changed too, so offer both arms the same ones",
        "the traces carry no definitions of tools, or the content policy keeps none; record them, or a version or hash "
        "of them in the attribute that report.tool_schema_attribute names",
        by_content=True,
    ),
    _Field(
        "retrieval",
        "retrieval_version",
        "retrieval indexes",
        "the retrieved context changed too, so let both arms search the same index",
        "retrievals do not say which index they searched; record its version in the attribute that "
        "report.retrieval_version_attribute names",
    ),
)

VERSION_COLUMNS = {field.check: field.column for field in _FIELDS}
"""Check → the column whose drift it finds. On traces whose values of them occur in both arms models can be compared."""


def versions(cohort: str, frame: pl.DataFrame) -> Iterator[Check]:
    """Whether both arms ran with the same prompts, tools and index, none of which differ by chance."""
    for field in _FIELDS:
        if field.column not in frame.columns:
            continue
        if field.check == "retrieval" and not _retrieves(frame):
            continue
        yield _version(cohort, frame, field)


def _retrieves(frame: pl.DataFrame) -> bool:
    return any(frame[column].null_count() < frame.height for column in ("retrieved_documents", "retrieval_version"))


def _version(cohort: str, frame: pl.DataFrame, field: _Field) -> Check:
    if frame[field.column].null_count() == frame.height:
        return Check(field.check, cohort, CheckStatus.WARN, f"Not checked: {field.record}.")
    if field.by_content and (share := _of_one_unit(frame, field.column)) > _MOST_OF_ONE_UNIT:
        detail = (
            f"Not checked: {percent(share)} of traces have {field.plural} that only one user met, so they are made for "
            f"each request; record a version of what they are made from in the attribute that report.{field.column}"
            "_attribute names."
        )
        return Check(field.check, cohort, CheckStatus.WARN, detail)
    # A person needs no more of a hash to tell it from another.
    shown = pl.col(field.column).cast(pl.String).str.head(_HASH_SHOWN) if field.by_content else pl.col(field.column)
    difference = compare_mix(frame.with_columns(shown), field.column)
    status = differs(difference)
    words = mix_in_words(difference)
    detail = {
        CheckStatus.PASS: f"Both arms use the same {field.plural} in the same mix.",
        CheckStatus.WARN: f"The mix of {field.plural} {words}; {_MAY_BE_CHANCE}",
        CheckStatus.FAIL: f"The mix of {field.plural} {words}: {field.drift}.",
    }[status]
    return Check(field.check, cohort, status, detail)


def _of_one_unit(frame: pl.DataFrame, column: str) -> float:
    """The share of traces whose value is met by one unit alone, among those with a value."""
    known = frame.select("unit", column).drop_nulls(column)
    units = known.group_by(column).agg(pl.len(), pl.col("unit").n_unique())
    return float(units.filter(pl.col("unit") == 1)["len"].sum() / known.height)


def instrumentation(cohort: str, frame: pl.DataFrame) -> Check:
    """Whether tokens are counted by the same instrumentation and rules in both arms."""
    compared = {
        "instrumentation": compare_mix(frame, "instrumentation"),
        "token-counting rule": compare_mix(frame, "token_rules"),
    }
    statuses = {what: differs(difference) for what, difference in compared.items()}
    what = min(compared, key=lambda key: (SEVERITY[statuses[key]], -compared[key].distance))
    words = mix_in_words(compared[what])
    detail = {
        CheckStatus.PASS: "Tokens are counted by the same instrumentation and rules in both arms.",
        CheckStatus.WARN: f"The mix of {what} {words}; {_MAY_BE_CHANCE}",
        CheckStatus.FAIL: (
            f"The mix of {what} {words}: tokens may not mean the same in both arms, so instrument both alike."
        ),
    }[statuses[what]]
    return Check("instrumentation", cohort, statuses[what], detail, TOKEN_METRICS)
