"""The score interval of a share (Wilson, JASA 22, 1927)."""

from __future__ import annotations

from math import sqrt

from scipy.special import ndtri


def wilson_upper(successes: int, trials: int, confidence: float = 0.95) -> float:
    """Upper end of the two-sided score interval of ``successes`` in ``trials`` (Newcombe 1998, method 3).

    Raises:
        ValueError: there were no trials.
    """
    if trials < 1:
        raise ValueError("a share of no trials has no interval.")
    z = float(ndtri((1 + confidence) / 2))
    share = successes / trials
    reach = z * sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return min(1.0, (share + z**2 / (2 * trials) + reach) / (1 + z**2 / trials))
