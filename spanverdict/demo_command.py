"""`spanverdict demo`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from spanverdict.demo import run_demo
from spanverdict.options import Settings, store_options


@click.command("demo")
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), default=Path("spanverdict-demo"),
              show_default=True, help="Where the demo keeps its store and reports.")  # fmt: skip
@click.option("--no-browser", is_flag=True, help="Do not open the HTML report in a browser.")
@store_options
def demo_command(settings: Settings, directory: Path, *, no_browser: bool) -> None:
    """A promotion incident, end to end: collector, sample traces over OTLP, verdicts, reports."""
    del settings  # The demo is its own world: sample configuration, own store, free ports.
    run_demo(directory, browser=not no_browser and sys.stdout.isatty())
