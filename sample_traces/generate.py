"""Writes the incident anew: ``python -m sample_traces.generate [--out DIR] [--seed N]``.

Three services run side by side in processes of their own; the same seed gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from sample_traces import story
from sample_traces.plan import make_plan
from sample_traces.support_app import run_service
from sample_traces.truth import make_truth

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sample_traces.plan import Outcome, PlannedTrace

_CONFIG = """\
# Configuration of the demonstration over these files.

[feedback]
# Rows of feedback.csv that know no trace name the ticket instead.
key_attribute = "ticket.id"

# Northwind Pay's contract for its own tuned model; the base model's price is the provider's list price.
[[prices]]
model = "{model}"
input_per_mtok = {price.input_per_mtok}
output_per_mtok = {price.output_per_mtok}
cache_read_per_mtok = {price.cache_read_per_mtok}
"""


def generate(out: Path, seed: int) -> None:
    """Write every data file of the sample into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    plan = make_plan(seed)
    # Spawned, not forked: each process patches a fresh ``openai``.
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        runs = [
            pool.submit(run_service, service, [trace for trace in plan if trace.service == service.name], out)
            for service in story.SERVICES.values()
        ]
        for run in runs:
            run.result()
    write_feedback(out / "feedback.csv", plan)
    (out / "truth.json").write_text(json.dumps(make_truth(seed, plan), indent=2) + "\n", encoding="utf-8")
    config = _CONFIG.format(model=story.MODELS["candidate"], price=story.PRICES["candidate"])
    (out / "spanverdict.toml").write_text(config, encoding="utf-8")


def write_feedback(path: Path, plan: Iterable[PlannedTrace]) -> None:
    """Write what people said later, by time: some of it knows the trace, some only the ticket."""
    rows = sorted(
        (_feedback_row(trace, outcome) for trace in plan for outcome in trace.outcomes),
        key=lambda row: (row["time"], row["id"]),
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["time", "name", "value", "trace_id", "key", "source", "id"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _feedback_row(trace: PlannedTrace, outcome: Outcome) -> dict[str, str]:
    by_ticket = outcome.name == "reopened" or (
        outcome.name == "escalated" and story.SERVICES[trace.service].channel == "email"
    )
    return {
        "time": (trace.start + outcome.delay).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "name": outcome.name,
        "value": str(outcome.value),
        "trace_id": "" if by_ticket else trace.trace_id,
        "key": trace.ticket_id if by_ticket else "",
        "source": "rating_widget" if outcome.name == "thumbs_down" else "helpdesk",
        "id": f"{outcome.name}-{trace.trace_id[:12]}",
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="directory to write to")
    parser.add_argument("--seed", type=int, default=story.DEFAULT_SEED, help="seed of everything that is drawn")
    options = parser.parse_args(arguments)
    generate(options.out, options.seed)
    for path in sorted(options.out.glob("*.gz")):
        print(f"{path.stat().st_size:>9,} bytes  {path}")


if __name__ == "__main__":
    main()
