"""The comparison on what both arms shared, where a version drifted in one of them.

Where the candidate met another prompt, other tools or another index in a part of its traffic, the cohort as a whole is
not comparable. Its traces whose versions occur in both arms are: within each combination of versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from analytics.report.model import Check, CheckStatus, CohortResult, SharedVersions
from analytics.stats.evidence import MINIMUM_UNITS
from analytics.validity.versions import VERSION_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_UNKNOWN = "(none)"
_BETWEEN = " / "


class SharedTraces(NamedTuple):
    """The traces that remain.

    Attributes:
        traces: their ``stratum`` is the combination of versions, and the stratum that was there within it.
        fields: the checks that failed in any cohort.
        kept: cohort → arm → the share of its traces that remain; 0 where nothing is shared.
    """

    traces: pl.DataFrame
    fields: tuple[str, ...]
    kept: dict[str, dict[str, float]]


def shared_traces(traces: pl.DataFrame, checks: Sequence[Check]) -> SharedTraces | None:
    """The traces of cohorts in which a version drifted whose versions occur in both arms.

    A combination of versions is shared if at least 20 users of each arm met it. The versions are those of the checks
    that failed in the cohort.

    Args:
        traces: the comparison window: ``cohort``, ``arm``, ``unit``, ``stratum`` and the columns of versions.
        checks: what was found; only failed ones of versions count.

    Returns:
        None where no version drifted.
    """
    drifted: dict[str, list[str]] = {}
    for check in checks:
        if check.check in VERSION_COLUMNS and check.status is CheckStatus.FAIL and check.cohort is not None:
            drifted.setdefault(check.cohort, []).append(check.check)
    if not drifted:
        return None
    kept, remaining = {}, []
    for cohort, fields in sorted(drifted.items()):
        whole = traces.filter(pl.col("cohort") == cohort)
        part = _shared(whole, [VERSION_COLUMNS[field] for field in sorted(fields)])
        kept[cohort] = {
            arm: part.filter(pl.col("arm") == arm).height / max(1, whole.filter(pl.col("arm") == arm).height)
            for arm in ("base", "candidate")
        }
        remaining.append(part)
    return SharedTraces(
        pl.concat(remaining), tuple(sorted({field for found in drifted.values() for field in found})), kept
    )


def _shared(traces: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    told = traces.with_columns(
        versions=pl.concat_str([pl.col(column).fill_null(_UNKNOWN) for column in columns], separator=_BETWEEN)
    )
    shared = (
        told.group_by("versions")
        .agg(pl.col("unit").filter(pl.col("arm") == arm).n_unique().alias(arm) for arm in ("base", "candidate"))
        .filter(pl.min_horizontal("base", "candidate") >= MINIMUM_UNITS)
    )
    return (
        told.join(shared.select("versions"), on="versions", how="semi", maintain_order="left")
        .with_columns(stratum=pl.concat_str(["versions", "stratum"], separator=_BETWEEN, ignore_nulls=True))
        .drop("versions")
    )


def compare_shared(
    traces: pl.DataFrame,
    checks: Sequence[Check],
    judge: Callable[[pl.DataFrame, Sequence[Check]], Iterable[CohortResult]],
) -> SharedVersions | None:
    """Judge cohorts in which a version drifted on what both arms shared.

    Args:
        traces: as for :func:`shared_traces`.
        checks: what was found; failed ones of other things stand here too.
        judge: traces and checks → results, one per cohort.

    Returns:
        None where no version drifted. A cohort in which nothing is shared has no result.
    """
    found = shared_traces(traces, checks)
    if found is None:
        return None
    others = [check for check in checks if check.check not in VERSION_COLUMNS]
    cohorts = () if found.traces.is_empty() else tuple(judge(found.traces, others))
    return SharedVersions(cohorts, found.fields, found.kept)
