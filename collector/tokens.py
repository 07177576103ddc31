"""Token arithmetic: counts that are inclusive of cache and of reasoning, and the rule that made them so.

OpenTelemetry GenAI (1.40 and later) defines `input_tokens` as inclusive of cached tokens and `output_tokens` as
inclusive of reasoning tokens; older and other emitters differ, so each row says which rule decided.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.conventions import INPUT_EXCLUDES_CACHE
from collector.literals import FALSE, ZERO, text

RULES = (
    "default: input includes cache",
    "scope: input excludes cache",
    "cache exceeds input: input excludes cache",
    "total: input includes cache",
    "total: input excludes cache",
)
CLAMPED = "; reasoning clamped to output"

_NAMES = pa.array([*RULES, *(name + CLAMPED for name in RULES)])


def settle_tokens(columns: dict[str, pa.Array], scope_name: pa.Array) -> dict[str, pa.Array]:
    """Decide for each span whether its input count includes cached tokens, and make it inclusive.

    The decision falls in this order: the emitting scope and provider are known to exclude; cached tokens exceed
    the input; a reported total equals input + output with or without the cached tokens; else inclusive.

    Args:
        columns: canonical columns with input, output, cache_read, cache_write, reasoning and total tokens (null
            where unknown) and ``provider``.
        scope_name: instrumentation scope of each span.

    Returns:
        The columns ``input_tokens``, ``reasoning_tokens`` and ``token_rule`` (null where no input count is known).
    """
    given, known = _filled(columns["input_tokens"])
    cached = _filled(columns["cache_read_tokens"])[0] + _filled(columns["cache_write_tokens"])[0]
    output, output_known = _filled(columns["output_tokens"])
    total, total_known = _filled(columns["total_tokens"])
    comparable = total_known & output_known & (cached > 0)
    rule = np.select(
        [
            _known_to_exclude(scope_name, columns["provider"]),
            cached > given,
            comparable & (total == given + output),
            comparable & (total == given + output + cached),
        ],
        [1, 2, 3, 4],
        default=0,
    )
    excludes = np.isin(rule, (1, 2, 4))
    inclusive = np.where(excludes, given + cached, given)
    reasoning, reasoning_known = _filled(columns["reasoning_tokens"])
    clamped = reasoning_known & output_known & (reasoning > output)
    return {
        "input_tokens": pa.array(inclusive, mask=~known),
        "reasoning_tokens": pa.array(np.where(clamped, output, reasoning), mask=~reasoning_known),
        "token_rule": _NAMES.take(pa.array(rule + len(RULES) * clamped, mask=~known)),
    }


def _filled(column: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    known: npt.NDArray[np.bool_] = column.is_valid().to_numpy(zero_copy_only=False)
    return pc.fill_null(column, ZERO).to_numpy(zero_copy_only=False), known


def _known_to_exclude(scope_name: pa.Array, provider: pa.Array) -> npt.NDArray[np.bool_]:
    result = np.zeros(len(scope_name), dtype=bool)
    for scope, name in sorted(INPUT_EXCLUDES_CACHE):
        match = pc.and_(pc.equal(scope_name, text(scope)), pc.equal(provider, text(name)))
        result |= pc.fill_null(match, FALSE).to_numpy(zero_copy_only=False)
    return result
