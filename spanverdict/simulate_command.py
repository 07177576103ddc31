"""`spanverdict simulate`: traffic with a known truth, to try reports on without traffic of one's own."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from analytics.simulation.draw import COHORTS, Size
from analytics.simulation.files import MIRROR, OTLP, PROMOTION, promotion_of, write_scenario
from analytics.simulation.scenarios import SCENARIOS, Scenario
from spanverdict.options import Number

_OPTIONS = ("base", "candidate", "at", "design", "cohort_by", "candidate_share", "planned_end")


@click.command("simulate")
@click.option("--scenario", "name", type=click.Choice(list(SCENARIOS)), help="What is simulated; see --list.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The same seed, the same files.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The folder that the files go to.")
@click.option("--days", type=click.IntRange(1, 60), default=14, show_default=True, help="Days after the promotion.")
@click.option("--cohorts", type=click.IntRange(1, len(COHORTS)), default=len(COHORTS), show_default=True,
              help="How many cohorts; they differ in traffic.")  # fmt: skip
@click.option("--scale", type=Number(0.01, 10), default=1.0, show_default=True,
              help="What the traffic is multiplied by.")  # fmt: skip
@click.option("--list", "listed", is_flag=True, help="List the scenarios and stop.")
def simulate_command(
    name: str | None, seed: int, out: Path | None, days: int, cohorts: int, scale: float, *, listed: bool
) -> None:
    """Write the traces, scores and feedback of a simulated promotion as OTLP files, with the truth beside them."""
    if listed:
        for scenario in SCENARIOS.values():
            click.echo(f"{scenario.name:<25} {scenario.summary}")
        return
    if name is None or out is None:
        raise click.UsageError("Name a --scenario (see --list) and a folder with --out.")
    scenario, size = SCENARIOS[name], Size(days, cohorts, scale)
    console = Console(stderr=True)
    try:
        with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
            bar = progress.add_task("Simulating", total=days + scenario.days_before)
            traces = write_scenario(out, scenario, seed, size, lambda _: progress.advance(bar))
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}.") from error
    click.echo(f"Wrote {traces:,} traces to {out}. Now:", err=True)
    for line in _next_commands(scenario, size, out):
        click.echo(line)


def _next_commands(scenario: Scenario, size: Size, out: Path) -> Iterator[str]:
    """What leads from the files to a report, for a shell."""

    def path(of: str) -> str:
        return shlex.quote(str(out / of))

    promotion: dict[str, Any] = promotion_of(scenario, size)
    yield f"spanverdict import {path(OTLP)}"
    yield f"spanverdict feedback import {path('feedback.csv')}"
    if scenario.split == "mirrored":
        yield f"spanverdict mirror import {path(MIRROR)}"
    options = [f"--{name.replace('_', '-')} {promotion[name]}" for name in _OPTIONS if promotion[name] is not None]
    options += [f"--stratify-by {attribute}" for attribute in promotion["stratify_by"]]
    yield f"spanverdict promotion add {PROMOTION} {' '.join(options)}"
    for change in promotion["share_changes"]:
        share, since = change["candidate_share"], change["since"]
        yield f"spanverdict promotion share {PROMOTION} --candidate-share {share} --at {since}"
    yield f"spanverdict report {PROMOTION} --config {path('spanverdict.toml')}"
