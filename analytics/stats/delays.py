"""Delays: how long after a trace's end an outcome comes, learned from traces of which many are still too young to say.

The delay of a trace without an outcome is known only to be longer than its age (right censoring). Quantiles of the
delays that were seen alone are too short, for long delays of young traces have not been seen yet; Kaplan and Meier's
estimate counts such traces for as long as they could have been observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from analytics.stats.sums import FloatArray

MINIMUM_EVENTS = 50
"""Outcomes that a window is learned from at least: with these, the share that comes within it has a standard error of
about 3 points."""

MINIMUM_OBSERVED = 50
"""Traces that must have existed for a time for the curve to be read there."""

ARRIVED_SHARE = 0.95
"""The share of all outcomes, as far as can be seen, that a window waits for."""

SETTLED_SHARE = 0.5
"""The curve has flattened if the window ends by this share of the time that could be observed."""


@dataclass(frozen=True)
class DelayCurve:
    """Kaplan and Meier's estimate of the share of traces whose outcome has come within a time.

    Attributes:
        delays: the distinct delays and ages, ascending, in the unit given.
        arrived: share of all traces whose outcome comes within each; it need not reach 1, most traces never have one.
        events: outcomes seen.
    """

    delays: FloatArray
    arrived: FloatArray
    events: int


def delay_curve(delays: FloatArray, ages: FloatArray) -> DelayCurve:
    """Estimate the curve (Kaplan & Meier, JASA 53 (1958) 457; ties as usual: outcomes come before censoring).

    Args:
        delays: from the trace's end to its outcome, of traces that have one; not negative.
        ages: from the trace's end to the end of observation, of traces that have none yet; not negative.

    Raises:
        ValueError: there is neither a delay nor an age.
    """
    if not delays.size + ages.size:
        raise ValueError("no trace was observed, so there is no curve of delays")
    # Half a second, which every start of every command would take.
    from scipy.stats import CensoredData, ecdf  # noqa: PLC0415

    curve = ecdf(CensoredData(uncensored=delays, right=ages)).cdf
    times = np.asarray(curve.quantiles, dtype=np.float64)
    return DelayCurve(times, np.asarray(curve.probabilities, dtype=np.float64), int(delays.size))


@dataclass(frozen=True)
class LearnedWindow:
    """A window read from a curve, or why there is none.

    Attributes:
        window: the smallest time within which ``ARRIVED_SHARE`` of the outcomes come; None if it cannot be told.
        events: outcomes that it rests on.
        follow_up: how long enough traces were observed; 0 if never.
        settled: whether the curve had flattened by then.
    """

    window: float | None
    events: int
    follow_up: float
    settled: bool


def learned_window(curve: DelayCurve, observed: FloatArray) -> LearnedWindow:
    """Read the window: the smallest t with F(t) at least 95 % of F at the end of follow-up.

    Follow-up is as long as ``MINIMUM_OBSERVED`` traces existed, with an outcome or without: where every trace has had
    its outcome nobody is left to wait for, and the curve has ended, not the time in which it could be seen. Where the
    window ends in its second half, the curve still rises and its end cannot be told: nothing is learned.

    Args:
        curve: of these traces.
        observed: from each trace's end to the end of observation, in the unit of the curve.
    """
    if curve.events < MINIMUM_EVENTS or observed.size < MINIMUM_OBSERVED:
        return LearnedWindow(None, curve.events, 0.0, settled=False)
    follow_up = float(np.sort(observed)[-MINIMUM_OBSERVED])
    last = int(np.searchsorted(curve.delays, follow_up, side="right")) - 1
    reached = float(curve.arrived[last]) if last >= 0 else 0.0
    if reached <= 0:
        return LearnedWindow(None, curve.events, follow_up, settled=False)
    # A share that is met but for rounding is met.
    window = float(curve.delays[int(np.argmax(curve.arrived >= ARRIVED_SHARE * reached - 1e-12))])
    settled = window <= SETTLED_SHARE * follow_up
    return LearnedWindow(window if settled else None, curve.events, follow_up, settled)
