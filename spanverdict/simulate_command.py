"""`spanverdict simulate`: traffic with a known truth, to try reports on without traffic of one's own."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from analytics.simulation.draw import COHORTS, DAYS_BEFORE, Size
from analytics.simulation.files import BASE, CANDIDATE, OTLP, PROMOTION, promotion_of, write_scenario
from analytics.simulation.scenarios import SCENARIOS


@click.command("simulate")
@click.option("--scenario", "name", type=click.Choice(list(SCENARIOS)), help="What is simulated; see --list.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The same seed, the same files.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="The folder that the files go to.")
@click.option("--days", type=click.IntRange(1, 60), default=14, show_default=True, help="Days after the promotion.")
@click.option("--cohorts", type=click.IntRange(1, len(COHORTS)), default=len(COHORTS), show_default=True,
              help="How many cohorts; they differ in traffic.")  # fmt: skip
@click.option("--scale", type=click.FloatRange(0.01, 10), default=1.0, show_default=True,
              help="What the traffic is multiplied by.")  # fmt: skip
@click.option("--list", "listed", is_flag=True, help="List the scenarios and stop.")
def simulate_command(
    name: str | None, seed: int, out: Path | None, days: int, cohorts: int, scale: float, *, listed: bool
) -> None:
    """Write the traces, scores and feedback of a simulated promotion as OTLP files, with the truth beside them."""
    if listed:
        for scenario in SCENARIOS.values():
            click.echo(f"{scenario.name:<18} {scenario.summary}")
        return
    if name is None or out is None:
        raise click.UsageError("Name a --scenario (see --list) and a folder with --out.")
    scenario, size = SCENARIOS[name], Size(days, cohorts, scale)
    console = Console(stderr=True)
    try:
        with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
            bar = progress.add_task("Simulating", total=days + DAYS_BEFORE)
            traces = write_scenario(out, scenario, seed, size, lambda _: progress.advance(bar))
    except OSError as error:
        raise click.UsageError(f"{error.filename}: {error.strerror}.") from error
    promotion = promotion_of(scenario)
    share = "" if promotion["candidate_share"] is None else f" --candidate-share {promotion['candidate_share']}"
    click.echo(f"Wrote {traces:,} traces to {out}. Now:", err=True)
    click.echo(f"spanverdict import {out / OTLP}")
    click.echo(f"spanverdict feedback import {out / 'feedback.csv'}")
    click.echo(
        f"spanverdict promotion add {PROMOTION} --base {BASE} --candidate {CANDIDATE} --at {promotion['at']}"
        f" --design {promotion['design']} --cohort-by {promotion['cohort_by']}{share}"
    )
    click.echo(f"spanverdict --config {out / 'spanverdict.toml'} report {PROMOTION}")
