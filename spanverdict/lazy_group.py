"""A group of commands that are imported when they are called.

Each start would pay for the libraries of every command otherwise: polars and scipy to list the promotions.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any, cast

import click


class LazyGroup(click.Group):
    """A group whose help imports none of its commands.

    Args:
        package: where the commands are: ``name`` is ``name_command`` of the module ``name_command``.
        summaries: the name of each command → the first paragraph of its help; a test holds the two together.
        attributes: what :class:`click.Group` takes.
    """

    def __init__(self, *, package: str, summaries: Mapping[str, str], **attributes: Any) -> None:  # noqa: ANN401
        self._lazy = _LazyCommands(package, summaries)
        super().__init__(commands=self._lazy, **attributes)

    def listed(self) -> dict[str, click.Command]:
        """Every command, as far as it is known without being imported: a name and a summary."""
        return self._lazy.listed()

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and summaries of the commands, as click does."""
        plain = click.Group(commands=self.listed())
        plain.format_commands(click.Context(plain), formatter)


class _LazyCommands(MutableMapping[str, click.Command]):
    """Commands by their names; one is imported when it is asked for."""

    def __init__(self, package: str, summaries: Mapping[str, str]) -> None:
        self._package = package
        self._summaries = dict(summaries)
        self._loaded: dict[str, click.Command] = {}

    def listed(self) -> dict[str, click.Command]:
        return self._loaded | {name: click.Command(name, help=text) for name, text in self._summaries.items()}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            if name not in self._summaries:
                raise KeyError(name)
            with _kept_for_good():
                module = import_module(f"{self._package}.{name}_command")
            self._loaded[name] = cast("click.Command", getattr(module, f"{name}_command"))
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._summaries or name in self._loaded

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        self._summaries.pop(name, None)
        self._loaded.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._summaries | self._loaded)

    def __len__(self) -> int:
        return len(self._summaries | self._loaded)


@contextmanager
def _kept_for_good() -> Iterator[None]:
    """What is imported stays: to look for garbage in it, again and again, would take a fifth of a start."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()
