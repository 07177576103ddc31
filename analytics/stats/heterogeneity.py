"""Whether an effect differs between strata by more than chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import chdtrc

if TYPE_CHECKING:
    from analytics.stats.sums import FloatArray


def heterogeneity_p_value(effects: FloatArray, variances: FloatArray) -> float:
    """P-value of "the effect is the same in every stratum".

    Cochran's Q = sum of (d_s - d)^2 / V_s around the inverse-variance mean d, chi-squared with one degree of freedom
    less than strata (Cochran, "The combination of estimates from different experiments", Biometrics 10, 1954).

    Args:
        effects: one per stratum.
        variances: of the effects, the same shape.

    Returns:
        1 where fewer than two strata have a variance above 0.
    """
    usable = np.isfinite(effects) & (variances > 0)
    if usable.sum() < 2:  # noqa: PLR2004 (a comparison takes two)
        return 1.0
    weights = 1 / variances[usable]
    middle = np.average(effects[usable], weights=weights)
    return float(chdtrc(usable.sum() - 1, float(weights @ (effects[usable] - middle) ** 2)))
