"""What a benchmark tells the runner: rows of a table, as one line of JSON on standard output."""

from __future__ import annotations

import json
from collections.abc import Sequence

Row = dict[str, str | float]
"""Column → value; a text stands as it is."""

_KEY = "benchmark_rows"


def tell(rows: Sequence[Row]) -> None:
    """Print the rows of a benchmark's table, the last thing it prints."""
    print(json.dumps({_KEY: list(rows)}, ensure_ascii=False))


def told(output: str) -> list[Row]:
    """The rows in what a benchmark printed.

    Raises:
        ValueError: it told none.
    """
    for line in reversed(output.splitlines()):
        if line.startswith(f'{{"{_KEY}"'):
            rows: list[Row] = json.loads(line)[_KEY]
            return rows
    raise ValueError("It printed no rows.")
