"""The runner of the benchmarks and the page that it writes."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The runner; benchmarks/ is no package."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("run")


def test_each_place_of_the_page_has_a_benchmark_and_each_benchmark_a_place(run: Any) -> None:
    """A marker without a benchmark would never be written, a benchmark without one would fail after its run."""
    page = run.PAGE.read_text("utf-8")
    names = [run.MACHINE, *(benchmark.name for benchmark in run.BENCHMARKS)]
    assert sorted(re.findall(r"<!-- bench:(\S+) -->", page)) == sorted(names)
    for name in names:
        (place,) = run.between(name).finditer(page)
        assert "\n#" not in place[0], f"{name} would write over a section"


def test_each_command_names_a_script_that_tells_its_rows(run: Any) -> None:
    """What the runner starts is there and prints the line that it reads."""
    for benchmark in run.BENCHMARKS:
        for command in benchmark.commands:
            script = command.split()[1]
            path = f"{command.split()[2].replace('.', '/')}.py" if script == "-m" else script
            assert "tell(" in (ROOT / path).read_text("utf-8"), command


def test_writing_a_table_twice_changes_nothing_and_touches_no_other_place(run: Any) -> None:
    """A second run with the same figures leaves the page as it is."""
    page = "a\n<!-- bench:one -->\nold\n<!-- /bench:one -->\nb\n<!-- bench:two -->\nkept\n<!-- /bench:two -->\n"
    block = run.block(
        run.Benchmark("one", ("python one.py",)), [{"what": "x", "ms": 12345.6}, {"what": "y", "ms": 0.1234}]
    )
    once = run.written(page, "one", block)
    assert "| x | 12,346 |\n| y | 0.123 |" in once
    assert "old" not in once
    assert once.endswith(page[page.index("b\n") :])
    assert run.written(once, "one", block) == once


def test_a_page_without_a_place_is_said(run: Any) -> None:
    """Nothing is written anywhere else."""
    with pytest.raises(ValueError, match="has 0 places for the benchmark one"):
        run.written("no markers", "one", "text")


def test_rows_are_read_from_what_a_benchmark_prints(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Other lines around them are for people."""
    importlib.import_module("figures").tell([{"what": "µs", "value": 1.5}])
    printed = capsys.readouterr().out
    assert run.told(f"12 spans\n{printed}bye\n") == [{"what": "µs", "value": 1.5}]
    with pytest.raises(ValueError, match="no rows"):
        run.told("12 spans\n")
