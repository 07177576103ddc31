"""Were the arms sent the same mix of requests?

Where the promotion has strata the arms are compared within them, and a different mix is told. Where it has none,
attributes of requests that differ between the arms may be what makes them differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from analytics.mix import CHANCE_LEVEL, MixDifference, compare_mix, mix_in_words
from analytics.report.model import Check, CheckStatus
from analytics.validity.arms import kept_unevenly
from analytics.validity.versions import MIX_TOLERANCE

MOST_TRACES = 40_000
"""How many traces' root spans are looked at for attributes that differ."""

MOST_VALUES = 20
"""An attribute with more values than this describes single requests, not kinds of them."""

PASSED_OVER = (
    r"^(gen_ai|llm|ai|openinference|traceloop|langfuse|mlflow|openlit|pydantic_ai|logfire|agentcc|gcp|input|output|request_data"
    r"|response_data|embedding|retrieval|reranker|tool|annotations|evaluations|trace|error|exception|status|otel|telemetry|thread|code|process|sampl\w*|meta"
    r"|_dd|feature_flag|session|user|enduser|http\.response|http\.status_code|rpc\.\w+\.status_code)([.:_]|$)"
    r"|(^|[._])(id|model)$|^SampleRate$"
)
"""Names of attributes that say who asked, what ran, or how it went, not what was asked."""

# A value that nearly all traces of one arm have and nearly none of the other names the arm itself.
_NAMES_THE_ARM = 0.9


def strata_mix(cohort: str, frame: pl.DataFrame) -> Check | None:
    """Whether the strata are mixed alike in both arms; None without strata."""
    if "stratum" not in frame.columns or frame["stratum"].null_count() == frame.height:
        return None
    difference = compare_mix(frame, "stratum")
    if difference.distance <= MIX_TOLERANCE or not (difference.significant or difference.disjoint):
        return Check("mix_shift", cohort, CheckStatus.PASS, "The arms were sent the same mix of strata.")
    if difference.disjoint:
        detail = (
            f"The mix of strata {mix_in_words(difference)}: no stratum has traces of both arms, so nothing is compared "
            "within strata; send both arms requests of each, or register the promotion without strata."
        )
        return Check("mix_shift", cohort, CheckStatus.FAIL, detail)
    detail = (
        f"The mix of strata {mix_in_words(difference)}: the comparison is made within strata, so read the effects, not "
        "the arms' overall values."
    )
    return Check("mix_shift", cohort, CheckStatus.WARN, detail)


def request_mix(traces: pl.DataFrame, requests: pl.DataFrame, known: frozenset[str]) -> Iterator[Check]:
    """Attributes of requests whose mix differs between the arms beyond chance, for a promotion without strata.

    Args:
        traces: ``trace_id``, ``cohort``, ``arm`` and ``unit``, cohorts with both arms; perhaps the probability with
            which each was kept.
        requests: ``trace_id``, ``name`` and ``value`` of attributes of root spans; one row without a name for each
            trace that was looked at.
        known: attributes that are looked at elsewhere, such as the one of the cohorts.

    Yields:
        A warning per cohort with any, of the attribute that differs most; else a pass, if attributes were seen.
    """
    looked_at = traces.select("trace_id", "cohort", "arm", "unit").join(
        requests.select("trace_id").unique(), on="trace_id", how="semi"
    )
    told = requests.drop_nulls("name").filter(~pl.col("name").is_in(sorted(known))).join(looked_at, on="trace_id")
    if told.is_empty():
        return
    apart = _apart(told, looked_at)
    level = CHANCE_LEVEL / max(1, told.select("cohort", "name").n_unique())
    for cohort in sorted(told["cohort"].unique()):
        if kept_unevenly(traces.filter(pl.col("cohort") == cohort)):
            detail = (
                "Not checked: a sampler kept traces with different probabilities, so that the requests that are seen "
                "are not the mix that was sent."
            )
            yield Check("mix_shift", cohort, CheckStatus.WARN, detail)
            continue
        frame = looked_at.filter(pl.col("cohort") == cohort)
        names = apart.filter(pl.col("cohort") == cohort)["name"].to_list()
        differing = [(name, found) for name in names if (found := _differs(frame, told, name, level)) is not None]
        if not differing:
            detail = "No attribute of requests differs between the arms."
            yield Check("mix_shift", cohort, CheckStatus.PASS, detail)
            continue
        name, difference = max(differing, key=lambda each: each[1].distance)
        others = sorted(each for each, _ in differing if each != name)
        also = f" (also {', '.join(others)})" if others else ""
        detail = (
            f"The attribute {name} {mix_in_words(difference)}{also}: an effect may be that of other requests; if the "
            f"application knows it before the model answers, register the promotion with --stratify-by {name}."
        )
        yield Check("mix_shift", cohort, CheckStatus.WARN, detail)


def _apart(told: pl.DataFrame, traces: pl.DataFrame) -> pl.DataFrame:
    """The cohorts and names of attributes whose mix differs by more than the tolerance, and does not name the arm."""
    sizes = traces.group_by("cohort", "arm").len("traces")
    shares = (
        told.group_by("cohort", "name", "value", "arm")
        .len()
        .join(sizes, on=["cohort", "arm"])
        .with_columns(share=pl.col("len") / pl.col("traces") * pl.when(pl.col("arm") == "base").then(-1).otherwise(1))
        .group_by("cohort", "name", "value")
        .agg(pl.col("share").sum())
        .group_by("cohort", "name")
        # What traces lack of an attribute is a value too.
        .agg(distance=(pl.col("share").abs().sum() + pl.col("share").sum().abs()) / 2)
    )
    return shares.filter(pl.col("distance").is_between(MIX_TOLERANCE, _NAMES_THE_ARM, closed="right")).sort("name")


def _differs(frame: pl.DataFrame, told: pl.DataFrame, name: str, level: float) -> MixDifference | None:
    values = told.filter(pl.col("name") == name).select("trace_id", "value").unique("trace_id", keep="any")
    difference = compare_mix(frame.join(values, on="trace_id", how="left"), "value", level=level)
    return difference if difference.significant and not difference.disjoint else None
