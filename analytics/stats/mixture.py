"""One-sided normal-mixture e-values (Robbins 1970; Howard, Ramdas, McAuliffe & Sekhon 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_ndtr, ndtri, stdtr, stdtrit

if TYPE_CHECKING:
    from collections.abc import Callable

    from analytics.stats.sums import BoolArray, FloatArray

# Beyond this z the tail probability underflows; evidence this strong needs no finer number.
_Z_LIMIT = 37.0
_BISECTIONS = 40
_MANY_DEGREES = 1e6


def log_e_normal(z: FloatArray, ratio: FloatArray) -> FloatArray:
    """Log e-value of z against a half-normal mixture of positive effects.

    ln e = ln 2 - ln(1+r)/2 + z^2 r / (2(1+r)) + ln Phi(z sqrt(r/(1+r))), r = tau^2 / se^2
    (Howard et al. 2021, Proposition 5, with v = r rho and s = z sqrt(v)).

    Args:
        z: standardised estimate.
        ratio: r, the squared ratio of the effect's scale to the standard error.
    """
    share = ratio / (1 + ratio)
    return np.asarray(
        np.log(2) - np.log1p(ratio) / 2 + z**2 * share / 2 + log_ndtr(z * np.sqrt(share)), dtype=np.float64
    )


def log_e_mixture(z: FloatArray, ratios: FloatArray) -> FloatArray:
    """Log of the average of e over the scales on the first axis of ``ratios``."""
    summed = np.logaddexp.reduce(log_e_normal(z, ratios), axis=0)
    return np.asarray(summed - np.log(len(ratios)), dtype=np.float64)


def t_to_z(t: FloatArray, degrees: FloatArray) -> FloatArray:
    """The z whose normal tail equals the t tail with these degrees of freedom; 0 where there are none."""
    usable = degrees > 0
    tail = stdtr(np.where(usable, degrees, 1.0), -np.abs(t))
    z = -ndtri(np.clip(tail, 1e-300, 0.5)) * np.sign(t)
    return np.where(usable, np.clip(z, -_Z_LIMIT, _Z_LIMIT), 0.0)


def z_to_t(z: FloatArray, degrees: FloatArray) -> FloatArray:
    """Inverse of ``t_to_z``; infinite where there are no degrees of freedom."""
    usable = degrees > 0
    tail = np.exp(log_ndtr(-np.abs(z)))
    t = -stdtrit(np.where(usable, degrees, 1.0), tail) * np.sign(z)
    # stdtrit reaches its limit of accuracy at very many degrees of freedom, where t and z agree anyway.
    t = np.where(degrees > _MANY_DEGREES, z, t)
    return np.where(usable, t, np.inf)


def bisect(
    rejected: Callable[[FloatArray], BoolArray],
    inside: FloatArray,
    outside: FloatArray,
) -> FloatArray:
    """Where ``rejected`` turns from False (at ``inside``) to True (at ``outside``), or ``outside``.

    Both ends close in to the last bits; the rejected one is returned.
    """
    inner, outer = np.array(inside, dtype=np.float64), np.array(outside, dtype=np.float64)
    never = ~rejected(outer)
    for _ in range(_BISECTIONS):
        middle = (inner + outer) / 2
        yes = rejected(middle)
        outer = np.where(yes, middle, outer)
        inner = np.where(yes, inner, middle)
    return np.where(never, outside, outer)


def critical_z(alpha: FloatArray, ratios: FloatArray) -> FloatArray:
    """The z at which the mixture e-value reaches 1/alpha."""
    shape = np.broadcast_shapes(np.shape(alpha), ratios.shape[1:])
    target = -np.log(alpha)
    return bisect(lambda z: log_e_mixture(z, ratios) >= target, np.zeros(shape), np.full(shape, _Z_LIMIT))
