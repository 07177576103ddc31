"""What both arms shared where a version drifted, a different mix of requests, less context, and effects that change."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from analytics.metrics import Metric, MetricKind
from analytics.novelty import novelty_checks
from analytics.promotions import Promotion
from analytics.report.model import Check, CheckStatus, CohortResult, Decision
from analytics.shared_versions import compare_shared, shared_traces
from analytics.validity import examine
from analytics.validity.mix_shift import request_mix, strata_mix
from analytics.validity.retrieved_context import retrieved_context

START = datetime(2026, 11, 2)
PASS, WARN, FAIL = CheckStatus.PASS, CheckStatus.WARN, CheckStatus.FAIL


def traffic(seed: int = 1, *, size: int = 2000, days: int = 8, cohorts: tuple[str, ...] = ("eu",)) -> pl.DataFrame:
    """Two like arms over some days, four traces a user."""
    rng = np.random.default_rng(seed)
    total = size * 2 * len(cohorts)
    arm = np.tile(np.repeat(["base", "candidate"], size), len(cohorts))
    cohort = np.repeat(cohorts, size * 2)
    second = rng.integers(0, days * 86_400, total)
    return pl.DataFrame(
        {
            "trace_id": [f"t{number:06}" for number in range(total)],
            "cohort": cohort,
            "arm": arm,
            "unit": [
                f"{a}-{c}-{user}" for a, c, user in zip(arm, cohort, rng.integers(0, size // 4, total), strict=True)
            ],
            "second": second,
            "draw": rng.random(total),
            "noise": rng.standard_normal(total),
            "stratum": pl.Series([None] * total, dtype=pl.String),
        }
    ).with_columns(
        start_time=START + pl.duration(seconds="second"),
        end_time=START + pl.duration(seconds=pl.col("second") + 2),
    )


CANDIDATE = pl.col("arm") == "candidate"
BASE = pl.col("arm") == "base"


def failed(name: str, cohort: str = "eu") -> Check:
    """A failed check."""
    return Check(name, cohort, FAIL, "differs.")


class TestSharedVersions:
    """The comparison on what both arms shared."""

    def test_traces_of_versions_in_both_arms_remain(self) -> None:
        """A prompt of the candidate alone goes; its others stay, by prompt within the stratum that was there."""
        traces = traffic().with_columns(
            prompt_version=pl.when(CANDIDATE & (pl.col("draw") < 0.4)).then(pl.lit("p8"))
            .when(pl.col("draw") < 0.7).then(pl.lit("p7")).otherwise(None),
            stratum=pl.lit("hard"),
        )  # fmt: skip
        found = shared_traces(
            traces, [failed("prompt_version"), failed("prompt_version", "us"), failed("sample_ratio")]
        )
        assert found is not None
        assert found.fields == ("prompt_version",)
        assert found.kept["eu"]["base"] == 1
        assert found.kept["eu"]["candidate"] == pytest.approx(0.6, abs=0.05)
        assert set(found.traces["stratum"]) == {"p7 / hard", "(none) / hard"}
        assert found.kept["us"] == {"base": 0, "candidate": 0}

    def test_nineteen_users_share_nothing(self) -> None:
        """A version that fewer than 20 users of an arm met is not shared: nothing remains, and nothing is judged."""
        traces = traffic().with_columns(prompt_version=pl.when(BASE).then(pl.lit("p7")).otherwise(pl.lit("p8")))
        nineteen = traces.filter(CANDIDATE)["unit"].unique().sort()[:19].implode()
        few = traces.with_columns(
            prompt_version=pl.when(pl.col("unit").is_in(nineteen)).then(pl.lit("p7")).otherwise("prompt_version")
        )
        for frame in (traces, few):
            shared = compare_shared(frame, [failed("prompt_version")], lambda *_: pytest.fail("nothing to judge"))
            assert shared is not None
            assert (shared.cohorts, shared.kept) == ((), {"eu": {"base": 0.0, "candidate": 0.0}})

    def test_other_failures_stand_and_without_drift_there_is_nothing(self) -> None:
        """The judge is given the checks that are not about versions; without drift it is not asked."""
        traces = traffic().with_columns(prompt_version=pl.lit("p7"), tool_schema=pl.lit("t"))
        given: list[Any] = []

        def judge(frame: pl.DataFrame, checks: Any) -> list[CohortResult]:
            given.append((frame.height, [check.check for check in checks]))
            return [CohortResult("eu", Decision.HOLD, "r.", {}, ())]

        shared = compare_shared(traces, [failed("prompt_version"), failed("tool_schema"), failed("unpriced")], judge)
        assert shared is not None
        assert (shared.fields, len(shared.cohorts)) == (("prompt_version", "tool_schema"), 1)
        assert given == [(traces.height, ["unpriced"])]
        assert compare_shared(traces, [failed("unpriced")], judge) is None


def requests(traces: pl.DataFrame, name: str, value: pl.Expr) -> pl.DataFrame:
    """An attribute of root spans."""
    said = traces.select("trace_id", name=pl.lit(name), value=value).drop_nulls()
    nothing = traces.select("trace_id", name=pl.lit(None, pl.String), value=pl.lit(None, pl.String))
    return pl.concat([said, nothing])


class TestMixShift:
    """Another mix of requests in one arm."""

    def test_strata(self) -> None:
        """Mixed alike they pass; else the one that differs most is named; no common stratum fails; none is no check."""
        traces = traffic()
        assert strata_mix("eu", traces) is None
        share = pl.when(CANDIDATE).then(0.55).otherwise(0.3)
        for limit, status in ((pl.lit(0.3), PASS), (share, WARN), (pl.when(CANDIDATE).then(1.0).otherwise(0.0), FAIL)):
            mixed = traces.with_columns(
                stratum=pl.when(pl.col("draw") < limit).then(pl.lit("hard")).otherwise(pl.lit("easy"))
            )
            check = strata_mix("eu", mixed)
            assert check is not None
            assert check.status is status
            if status is WARN:
                assert "most for hard" in check.detail
                assert "made within strata" in check.detail

    def test_an_attribute_of_requests_is_named(self) -> None:
        """Harder requests for the candidate: the sentence names the attribute and how to register it."""
        traces = traffic()
        limit = pl.when(CANDIDATE).then(0.55).otherwise(0.3)
        hard = pl.when(pl.col("draw") < limit).then(pl.lit("hard")).otherwise(pl.lit("easy"))
        said = pl.concat([
            requests(traces, "app.difficulty", hard),
            requests(traces, "app.language", pl.when(pl.col("noise") > 0).then(pl.lit("de")).otherwise(pl.lit("en"))),
            requests(traces, "app.variant", pl.col("arm")),
        ])  # fmt: skip
        (check,) = request_mix(traces, said, frozenset())
        assert check.status is WARN
        assert check.detail.startswith("The attribute app.difficulty differs on 24.1 %")
        assert "--stratify-by app.difficulty" in check.detail
        assert "language" not in check.detail
        assert "variant" not in check.detail
        (known,) = request_mix(traces, said, frozenset({"app.difficulty"}))
        assert known.status is PASS

    def test_requests_that_a_sampler_chose_are_not_held_against_the_arms(self) -> None:
        """Where traces were kept with different probabilities, what is seen is not what was sent: not checked."""
        traces = traffic().with_columns(keep_probability=pl.when(CANDIDATE & (pl.col("draw") > 0.5)).then(0.1))
        said = requests(traces, "app.tier", pl.when(BASE | (pl.col("draw") < 0.7)).then(pl.lit("gold")))
        (check,) = request_mix(traces, said, frozenset())
        assert check.status is WARN
        assert check.detail.startswith("Not checked: a sampler kept traces with different probabilities")

    def test_an_attribute_missing_more_in_one_arm_is_named(self) -> None:
        """To lack an attribute is a value of it."""
        traces = traffic()
        said = requests(traces, "app.tier", pl.when(BASE | (pl.col("draw") < 0.7)).then(pl.lit("gold")))
        (check,) = request_mix(traces, said, frozenset())
        assert check.status is WARN
        assert "app.tier" in check.detail

    def test_chance_is_no_shift(self) -> None:
        """Twenty cohorts with an attribute drawn alike: nothing is told, and nothing without attributes."""
        traces = traffic(size=150, cohorts=tuple(f"c{number}" for number in range(20)))
        said = requests(
            traces, "app.tier", pl.when(pl.col("draw") < 0.3).then(pl.lit("gold")).otherwise(pl.lit("base"))
        )
        assert {check.status for check in request_mix(traces, said, frozenset())} == {PASS}
        assert list(request_mix(traces, said.clear(), frozenset())) == []

    def test_with_strata_attributes_are_not_looked_at(self) -> None:
        """A promotion with strata is compared within them; the check is about those."""
        traces = whole(traffic())
        said = requests(traces, "app.tier", pl.when(BASE | (pl.col("draw") < 0.7)).then(pl.lit("gold")))
        for strata, status in (((), WARN), (("app.tier",), PASS)):
            promotion = Promotion("p", "m0", "m1", "concurrent", START, None, "app.cohort", 0.5, stratify_by=strata)
            told = traces.with_columns(stratum=pl.lit("a")) if strata else traces
            found = examine(told, promotion=promotion, evaluations=None, requests=said).checks
            assert [check.status for check in found if check.check == "mix_shift"] == [status]


def whole(traces: pl.DataFrame) -> pl.DataFrame:
    """With the columns that every frame has."""
    return traces.with_columns(
        prompt_version=pl.lit("p"), instrumentation=pl.lit("i"), token_rules=pl.lit("r"), unpriced_calls=pl.lit(0),
        unpriced_models=pl.lit(None, pl.String), missing_root=pl.lit(value=False),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("documents", "tokens", "status"), [(1.0, 1.0, PASS), (0.8, 1.0, WARN), (1.0, 1.2, WARN), (0.98, 1.02, PASS)]
)
def test_retrieved_context(documents: float, tokens: float, status: CheckStatus) -> None:
    """A fifth less context in one arm is told with its numbers; two hundredths are not, nor is no retrieval."""
    traces = traffic(size=4000).with_columns(
        retrieved_documents=(6 + pl.col("noise")).clip(1) * pl.when(CANDIDATE).then(documents).otherwise(1.0),
        input_tokens=(800 * (pl.col("noise") / 4).exp() * pl.when(CANDIDATE).then(tokens).otherwise(1.0)),
        llm_calls=pl.lit(2),
    )
    as_of = START + timedelta(days=9)
    (check,) = retrieved_context(traces, as_of)
    assert check.status is status
    if status is WARN:
        assert ("documents a retrieval" in check.detail) == (documents != 1.0)
        assert ("input tokens a call" in check.detail) == (tokens != 1.0)
    bare = traces.with_columns(retrieved_documents=pl.lit(None, pl.Float64))
    assert list(retrieved_context(bare, as_of)) == []


RATE = Metric("error_rate", MetricKind.RATE, "error", "rate", None)
COST = Metric("cost_per_trace", MetricKind.MEAN, "cost_usd", "usd", 0.1, "relative")


def changing(
    seed: int, early: float, late: float, *, size: int = 6000, cohorts: tuple[str, ...] = ("eu",)
) -> pl.DataFrame:
    """Failures of 5 %, and of the candidate by so much more in the first three days and since; costs alike."""
    first = pl.col("second") < 3 * 86_400
    more = pl.when(CANDIDATE & first).then(early).when(CANDIDATE).then(late).otherwise(0.0)
    return traffic(seed, size=size, cohorts=cohorts).with_columns(
        error=(pl.col("draw") < 0.05 + more), cost_usd=pl.col("noise").exp()
    )


def novelty(traces: pl.DataFrame, day: int = 8) -> list[Check]:
    """The checks of a rate and a mean."""
    as_of = START + timedelta(days=day)
    return list(novelty_checks(traces, (RATE, COST), at=START, as_of=as_of))


def test_an_effect_that_wears_off_is_told() -> None:
    """Eight points in the first days and none since: a warning with both, and not to extrapolate."""
    (check,) = novelty(changing(2, 0.08, 0.0))
    assert (check.check, check.status, check.metrics) == ("novelty", WARN, ("error_rate",))
    assert "in the first three days" in check.detail
    assert "do not extrapolate" in check.detail


def test_an_effect_that_stays_is_no_novelty() -> None:
    """The same effect before and since passes; before there is a later time nothing is said."""
    (check,) = novelty(changing(3, 0.05, 0.05))
    assert (check.status, check.cohort) == (PASS, None)
    assert novelty(changing(3, 0.08, 0.0).filter(pl.col("second") < 3 * 86_400)) == []
    assert novelty(changing(3, 0.08, 0.0), day=2) == []
    assert novelty(changing(3, 0.0, 0.0).clear()) == []


@pytest.mark.slow
def test_effects_that_stay_seldom_seem_new(record_property: Any) -> None:
    """Forty reports of ten cohorts, two metrics, five looks: at most two say that an effect changes."""
    cohorts = tuple(f"c{number}" for number in range(10))
    alarms = 0
    for seed in range(40):
        traces = changing(100 + seed, 0.02, 0.02, size=1600, cohorts=cohorts)
        alarms += any(check.status is WARN for day in range(4, 9) for check in novelty(traces, day))
    record_property("reports with a false novelty, of 40", alarms)
    assert alarms <= 2
