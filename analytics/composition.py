"""What part of a raw difference is the arms' different mix of strata (Kitagawa, JASA 50, 1955)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analytics.report.model import Composition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from analytics.cells import StratumSums

# A difference within this many standard errors may be chance.
_BEYOND_CHANCE = 2.0


def composition(strata: Sequence[StratumSums], error: float) -> Composition | None:
    """Split the raw difference of two rates or means into the part within strata and the part of the mix.

    With w the strata's shares in an arm and r their values, raw = sum (w_a + w_b)/2 (r_b - r_a) + sum (r_a + r_b)/2
    (w_b - w_a). A stratum that one arm lacks has the other's value there, so that it counts to the mix.

    Args:
        strata: of one cohort, at least two.
        error: standard error of the difference within strata, in the metric's unit.

    Returns:
        None where there are no strata, or an arm has no traces.
    """
    totals = [sum(stratum.n[arm] for stratum in strata) for arm in range(2)]
    if not strata or not all(totals):
        return None
    within = mix = 0.0
    for stratum in strata:
        if stratum.y is None:
            return None
        share_a, share_b = (stratum.n[arm] / totals[arm] for arm in range(2))
        values = [stratum.y[arm] / stratum.n[arm] if stratum.n[arm] else None for arm in range(2)]
        known = [value for value in values if value is not None]
        value_a, value_b = (known[0] if value is None else value for value in values)
        within += (share_a + share_b) / 2 * (value_b - value_a)
        mix += (value_a + value_b) / 2 * (share_b - share_a)
    raw = within + mix
    opposed = raw * within < 0 and max(abs(raw), abs(within)) > _BEYOND_CHANCE * error
    outweighed = abs(mix) > max(abs(within), _BEYOND_CHANCE * error)
    return Composition(raw, within, mix, opposed or outweighed)
