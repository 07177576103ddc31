"""Judge what products made of each file, and write it as a Markdown table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from peer_cases import Case
from peer_truth import Usage

UNKNOWN = "unknown"
RIGHT = "right"
ABSENT = "absent"
SAME_COST = Decimal("1e-9")  # Doubles added up in another order.


@dataclass(frozen=True)
class Product:
    """A product with its version, and what it made of each case by name; None where it was not run."""

    name: str
    version: str
    found: Mapping[str, Usage] | None


def judge_tokens(truth: Usage, found: Usage) -> str:
    """Say "right", "absent" where nothing is told of known tokens, or the wrong figures in bold."""
    told = found.input is not None or found.output is not None
    if truth.input is None:
        silent = not told or (truth.nothing_billed and not found.input and not found.output)
        return RIGHT if silent else f"**{_tokens(found)}**"
    if not told:
        return ABSENT
    return RIGHT if _counts(truth) == _counts(found) else f"**{_tokens(found)}**"


def judge_cost(truth: Usage, found: Usage) -> str:
    """Say "right", "absent" where nothing is told of a known cost, or the wrong figure in bold."""
    if truth.cost is None:
        silent = found.cost is None or (truth.nothing_billed and not found.cost)
        return RIGHT if silent else f"**{_dollars(found.cost)}**"
    if found.cost is None:
        return ABSENT
    return RIGHT if abs(found.cost - truth.cost) <= SAME_COST else f"**{_dollars(found.cost)}**"


def table(cases: Sequence[Case], products: Sequence[Product]) -> str:
    """The table: a row for each case, two columns for each product, and the counts of what is right."""
    heads = [f"{product.name}: {what}" for product in products for what in ("tokens", "cost")]
    lines = [
        _row(["file", "tokens", "cost", *heads]),
        _row(["---"] * (3 + len(heads))),
        *(_row(_cells(case, products)) for case in cases),
        _row(["**right**", *_sums(cases, products)]),
    ]
    return "\n".join(lines)


def _cells(case: Case, products: Sequence[Product]) -> list[str]:
    cells = [case.name, _tokens(case.truth), _dollars(case.truth.cost)]
    if case.truth.nothing_billed:
        cells[1:] = ["none", "none"]
    for product in products:
        if product.found is None:
            cells += ["not run", "not run"]
        else:
            found = product.found[case.name]
            cells += [judge_tokens(case.truth, found), judge_cost(case.truth, found)]
    return cells


def _sums(cases: Sequence[Case], products: Sequence[Product]) -> list[str]:
    cells = [f"of {len(cases)}", f"of {len(cases)}"]
    for product in products:
        for judge in (judge_tokens, judge_cost):
            found = product.found
            right = None if found is None else sum(judge(case.truth, found[case.name]) == RIGHT for case in cases)
            cells.append("not run" if right is None else f"**{right}**")
    return cells


def _counts(usage: Usage) -> tuple[int | None, int | None, int, int]:
    """The counts that must agree; a cache that was not used need not be mentioned."""
    return usage.input, usage.output, usage.cache_read or 0, usage.cache_write or 0


def _tokens(usage: Usage) -> str:
    if usage.input is None and usage.output is None:
        return UNKNOWN
    text = f"{_count(usage.input)} / {_count(usage.output)}"
    if usage.cache_read or usage.cache_write:
        text += f" ({usage.cache_read or 0:,} / {usage.cache_write or 0:,})"
    return text


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _dollars(value: Decimal | None) -> str:
    """Six significant digits without an exponent."""
    if value is None:
        return UNKNOWN
    if not value:
        return "0"
    text = f"{value:.{max(5 - value.adjusted(), 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
