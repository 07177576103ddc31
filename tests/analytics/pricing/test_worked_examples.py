"""docs/costs.md: every figure of its examples is what pricing makes of the call."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from math import prod
from pathlib import Path
from typing import Any

import pytest

from analytics.pricing import PriceBook
from spanverdict.config import load
from spanverdict.job_options import job_options

PAGE = (Path(__file__).parents[3] / "docs" / "costs.md").read_text("utf-8")
_ROW = re.compile(r"^\| [^|]*`([^`|]+=[^`|]+)` \|([^|]*)\|([^|]+)\|$", re.MULTILINE)


def examples() -> Iterator[tuple[str, str, str, str]]:
    """The rows of examples: the configuration of their section, the call, how it is worked, the cost."""
    for part in re.split(r"^###? ", PAGE, flags=re.MULTILINE):
        configuration = "".join(re.findall(r"```toml\n(.*?)```", part, re.DOTALL))
        for call, worked, cost in _ROW.findall(part):
            yield configuration, call, worked.strip(), cost.strip()


def value(text: str) -> Any:
    """A value of an example's call."""
    if re.fullmatch(r"\d+", text):
        return int(text)
    return datetime.fromisoformat(text) if re.fullmatch(r"\d{4}-\d\d-\d\d", text) else text


def test_there_are_examples() -> None:
    """The page has its examples, with a configuration and without, known and unknown."""
    found = list(examples())
    assert len(found) >= 15
    assert {bool(configuration) for configuration, *_ in found} == {True, False}
    assert "unknown" in {cost for *_, cost in found}


@pytest.mark.parametrize(("configuration", "call", "worked", "told"), list(examples()))
def test_worked_example(
    priced: Callable[..., dict[str, Any]], tmp_path: Path, configuration: str, call: str, worked: str, told: str
) -> None:
    """The cost is the one that is told, and the one that the multiplication beside it makes."""
    file = tmp_path / "spanverdict.toml"
    file.write_text(configuration)
    book: PriceBook = job_options(load(file)).prices
    given = {name: value(text) for name, _, text in (pair.partition("=") for pair in call.split())}
    cost = priced(book, **{"provider": None, "output_tokens": 0, **given})["cost_usd"]
    if told == "unknown":
        assert (cost, worked) == (None, "")
    else:
        terms = [prod(Decimal(factor) for factor in term.split("\u00d7")) for term in worked.split("+")]
        assert cost == Decimal(told) == sum(terms) / 1_000_000
