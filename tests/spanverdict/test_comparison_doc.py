"""docs/comparison.md says of this product what the benchmark finds now, and judges by its own rules."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "comparison.md"
OURS = 5
"""The columns that need no peer: file, true tokens, true cost, our tokens, our cost."""


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of benchmarks/, which is no package."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def rows(text: str) -> list[list[str]]:
    """The cells of the table of files."""
    lines = text[text.index("| file | ") :].splitlines()
    end = next((number for number, line in enumerate(lines) if not line.startswith("|")), len(lines))
    return [line.strip("| ").split(" | ") for line in lines[:end]]


def test_our_columns_are_what_the_product_computes_now(shared_fixtures: Path) -> None:
    """Imported from the files and asked for anew, tokens and costs are those that the page tells of us."""
    command = [sys.executable, str(ROOT / "benchmarks" / "peers.py"), "--fixtures", str(shared_fixtures)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=250)
    assert done.returncode == 0, done.stderr
    now, told = rows(done.stdout), rows(PAGE.read_text("utf-8"))
    assert len(now) > 60
    assert [row[:OURS] for row in now] == [row[:OURS] for row in told]
    assert {cell for row in now[2:-1] for cell in row[OURS:]} == {"not run"}


def test_the_summary_is_the_tables_last_row() -> None:
    """What the page says at its head is counted below, and counted right."""
    text = PAGE.read_text("utf-8")
    table = rows(text)
    columns = {"spanverdict": 3, "Phoenix": 5, "MLflow": 7}
    for name, column in columns.items():
        told = re.search(rf"^\| {name} \| (\d+) \| (\d+) \|$", text, re.MULTILINE)
        assert told is not None
        counted = [sum(row[place] == "right" for row in table[2:-1]) for place in (column, column + 1)]
        assert [int(number) for number in told.groups()] == counted
        assert table[-1][column : column + 2] == [f"**{number}**" for number in counted]
    assert table[-1][1] == f"of {len(table) - 3}"


@pytest.mark.parametrize(
    ("truth", "found", "tokens", "cost"),
    [
        (
            {"input": 7, "output": 2, "cost": Decimal(1)},
            {"input": 7, "output": 2, "cost": Decimal(1)},
            "right",
            "right",
        ),
        ({"input": 7, "output": 2, "cost": Decimal(1)}, {}, "absent", "absent"),
        ({"input": 7, "output": 2}, {"input": 7, "output": 2, "cost": Decimal(0)}, "right", "**0**"),
        ({"input": 7, "output": 2}, {"input": 14, "output": 4}, "**14 / 4**", "right"),
        ({"input": 7, "output": 2, "cache_read": 5}, {"input": 7, "output": 2}, "**7 / 2**", "right"),
        ({"input": 7, "output": 2}, {"input": 7, "output": 2, "cache_read": 0}, "right", "right"),
        ({}, {"input": 0, "output": 0, "cost": Decimal(0)}, "**0 / 0**", "**0**"),
        ({"nothing_billed": True}, {"input": 0, "output": 0, "cost": Decimal(0)}, "right", "right"),
        ({"nothing_billed": True}, {"input": 3, "output": 0, "cost": Decimal(1)}, "**3 / 0**", "**1**"),
    ],
)
def test_right_wrong_and_absent(
    truth: dict[str, Any], found: dict[str, Any], tokens: str, cost: str, benchmark: Any
) -> None:
    """A zero for what is unknown is wrong, silence about what is known is absent, an unused cache need not be told."""
    usage, table = benchmark("peer_truth").Usage, benchmark("peer_table")
    assert table.judge_tokens(usage(**truth), usage(**found)) == tokens
    assert table.judge_cost(usage(**truth), usage(**found)) == cost


def test_the_truth_charges_each_kind_of_token_once(benchmark: Any) -> None:
    """Cached tokens are part of the input and charged at their own rate, reasoning is part of the output."""
    billed = benchmark("peer_truth").billed
    call = {"input": 1_000_000, "output": 100_000, "cache_read": 400_000, "cache_write": 200_000, "reasoning": 90_000}
    assert billed([call], "claude-sonnet-4-5-20250929").cost == Decimal("1.2") + Decimal("0.12") + Decimal(
        "0.75"
    ) + Decimal("1.5")
    assert billed([call], "claude-sonnet-4-5-20250929").input == 1_000_000
    assert billed([call], "a model without a price").cost is None
    assert billed([{"input": None, "output": None}], "gpt-3.5-turbo").nothing_billed
