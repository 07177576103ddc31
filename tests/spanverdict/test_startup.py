"""What a command loads when it starts: what it needs, and no more."""

from __future__ import annotations

import gc
import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from spanverdict.cli import main
from spanverdict.lazy_group import LazyGroup

LIBRARIES = {
    "aiohttp", "duckdb", "genai_prices", "google.protobuf", "grpc", "jinja2", "jsonschema", "matplotlib", "numpy",
    "opentelemetry", "polars", "prometheus_client", "ptars", "pyarrow", "pydantic", "pydantic_settings", "rich",
    "scipy",
}  # fmt: skip

LOADED = """
import sys
from spanverdict.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules, sep="\\n", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("--help", set()),
        ("--version", set()),
        ("token new web", set()),
        ("promotion list", {"duckdb", "google.protobuf", "numpy", "pyarrow", "pydantic", "pydantic_settings", "rich"}),
    ],
)
def test_a_command_loads_what_it_needs(db: Path, command: str, needed: set[str]) -> None:
    """Libraries that a command has no use for are not imported for it."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *command.split()],
        cwd=db.parent, env={"PYTHONPATH": str(Path(__file__).parents[2])}, capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert LIBRARIES & set(done.stderr.splitlines()) == needed


@pytest.mark.parametrize("name", sorted(main.commands))
def test_the_help_of_all_commands_says_what_each_says(name: str) -> None:
    """The summary that is told without importing a command is the first paragraph of its help."""
    assert isinstance(main, LazyGroup)
    listed, command = main.listed()[name], main.commands[name]
    assert command.name == name
    assert command.help
    assert listed.help == " ".join(inspect.cleandoc(command.help).split("\n\n")[0].split())


@pytest.mark.parametrize("collects", [True, False])
def test_no_garbage_is_looked_for_among_what_was_imported(collects: bool) -> None:
    """Once a command is imported its objects are set aside, and the collector is on or off as it was."""
    group = LazyGroup(name="spanverdict", package="spanverdict", summaries={"token": "Tokens."})
    gc.unfreeze()
    (gc.enable if collects else gc.disable)()
    try:
        assert group.commands["token"].name == "token"
        assert gc.isenabled() is collects
        assert gc.get_freeze_count() > 0
    finally:
        gc.enable()


def test_a_command_may_be_added_and_taken_away() -> None:
    """A lazy group takes commands like any group, and lists them beside the others."""
    group = LazyGroup(name="spanverdict", package="spanverdict", summaries={"token": "Tokens.", "gone": "Not there."})

    @group.command()
    def extra() -> None:
        """Say something."""
        click.echo("said")

    del group.commands["gone"]
    run: Callable[..., str] = lambda *words: CliRunner().invoke(group, words).output  # noqa: E731
    assert sorted(group.commands) == ["extra", "token"]
    assert len(group.commands) == 2
    assert run("extra") == "said\n"
    assert run("--help").splitlines()[-2:] == ["  extra  Say something.", "  token  Tokens."]
    assert "No such command 'gone'" in run("gone")
