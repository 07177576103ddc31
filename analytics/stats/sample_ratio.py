"""Sample ratio: do the users of each arm arrive in the proportion that was intended?

An anytime-valid multinomial test (Lindon & Malek, "Anytime-valid inference for multinomial count data",
NeurIPS 2022): it may be looked at after every user and still raises a false alarm with at most the stated
probability over the whole life of a promotion.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# A sharp prior sees small deviations in heavy traffic, a flat one sees gross deviations among few users. A
# mean of Bayes factors is again a test martingale, so mixing them costs at most a factor of three.
DEFAULT_CONCENTRATIONS = (100.0, 1_000.0, 10_000.0)


def log_bayes_factor(counts: Sequence[int], shares: Sequence[float], concentration: float) -> float:
    """Log Bayes factor of "some other proportions" against the intended ones.

    With a prior Dirichlet(a), a_i = concentration * shares_i, over the proportions (Lindon & Malek 2022,
    section 3)::

        ln B = lnG(a0) - sum lnG(a_i) + sum lnG(a_i + n_i) - lnG(a0 + n) - sum n_i ln p_i

    Args:
        counts: users per arm so far, shape (arms,).
        shares: intended share of users per arm, shape (arms,), positive, summing to 1.
        concentration: a0, the weight of the prior in users.

    Returns:
        ln B, dimensionless; 0 before the first user.

    Raises:
        ValueError: if the shares are not proportions or do not match the counts.
    """
    if len(counts) != len(shares):
        raise ValueError(f"{len(counts)} counts were given with {len(shares)} shares: give one share per arm")
    if min(shares) <= 0 or not math.isclose(sum(shares), 1.0, abs_tol=1e-9):
        raise ValueError(f"shares {list(shares)} must be above 0 and sum to 1")
    if min(counts) < 0:
        raise ValueError(f"counts {list(counts)} must not be negative")
    return (
        math.lgamma(concentration)
        - math.lgamma(concentration + sum(counts))
        + math.fsum(
            math.lgamma(concentration * share + count) - math.lgamma(concentration * share) - count * math.log(share)
            for count, share in zip(counts, shares, strict=True)
        )
    )


def periods_p_value(
    counts_by_period: Sequence[Sequence[int]],
    shares_by_period: Sequence[Sequence[float]],
    concentrations: Sequence[float] = DEFAULT_CONCENTRATIONS,
) -> float:
    """Anytime-valid p-value of "the users arrive in the proportions intended at their time", at the present look.

    Each user belongs to the period in which they were first seen. With the intended proportions, the Bayes factor
    of one period is a martingale that the users of others leave as it is, so the product over the periods is one
    too, in whatever order the users arrive; and so is its mean over ``concentrations``, which mixes after
    multiplying. By Ville's inequality the p-value falls to alpha, at any look, with probability alpha at most.

    Args:
        counts_by_period: users first seen in each period, per arm so far, shape (periods, arms).
        shares_by_period: intended share of users per arm in each period, shape (periods, arms), positive, each
            period's summing to 1.
        concentrations: prior weights to mix, in users.

    Returns:
        A p-value in [0, 1]; 1 without users.

    Raises:
        ValueError: if the shares are not proportions or do not match the counts.
    """
    if len(counts_by_period) != len(shares_by_period):
        raise ValueError(
            f"counts of {len(counts_by_period)} periods were given with shares of {len(shares_by_period)}: "
            "give the shares of each period"
        )
    logs = [
        math.fsum(
            log_bayes_factor(counts, shares, concentration)
            for counts, shares in zip(counts_by_period, shares_by_period, strict=True)
        )
        for concentration in concentrations
    ]
    largest = max(logs)
    log_mean = largest + math.log(math.fsum(math.exp(value - largest) for value in logs) / len(logs))
    return math.exp(min(0.0, -log_mean))
