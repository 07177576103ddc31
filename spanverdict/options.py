"""What every command shares: configuration and store options, times and numbers, errors as a sentence and a status."""

from __future__ import annotations

import functools
import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from analytics.errors import EngineError, InputError
from collector.errors import SendError, TlsError
from spanverdict.config import Config, ConfigError, load
from sql.address import StoreAddress, store_address
from sql.errors import QueryError, StoreError

_USAGE_ERRORS = (ConfigError, InputError, QueryError, TlsError)
"""What is wrong with the command, the configuration or a file."""

EXIT_USAGE = 2
EXIT_STORE = 4
EXIT_INTERRUPTED = 130

_EARLIEST = datetime(1970, 1, 1)  # noqa: DTZ001 (the store's times are naive UTC)
_LATEST = datetime(2262, 1, 1)  # noqa: DTZ001

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Settings:
    """What ``--config`` and ``--store`` came to.

    Attributes:
        config: what the configuration says.
        db: the store.
        config_file: the file named with ``--config``, None if none was named.
    """

    config: Config
    db: StoreAddress
    config_file: Path | None = None

    def file(self, mend: str) -> Path:
        """The store's file, for a command that knows no other store.

        Args:
            mend: what to do instead where the store is a lake, as a sentence.

        Raises:
            ConfigError: it is a lake.
        """
        if isinstance(self.db, Path):
            return self.db
        raise ConfigError(f"{self.db} is a shared store, not a file. {mend}")


class Address(click.ParamType[StoreAddress]):
    """Where a store is: a file's path, or ``ducklake:…``."""

    name = "ADDRESS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> StoreAddress:  # noqa: ANN401
        """Parse the text of an option."""
        try:
            return store_address(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


store_option = click.option(
    "--store", "--db", "db", type=Address(),
    help="The store: a file, or ducklake:postgresql://… for a shared one; default: spanverdict.duckdb.",
)  # fmt: skip


def store_options(command: _Function) -> _Function:
    """Add ``--config`` and ``--store`` to a command and hand it ``settings``; errors end it with their status."""

    @click.option(
        "--config", "config_file", type=click.Path(path_type=Path),
        help="TOML configuration; default: spanverdict.toml in the working directory, if there.",
    )  # fmt: skip
    @store_option
    @functools.wraps(command)
    def wrapped(config_file: Path | None, db: StoreAddress | None, **arguments: Any) -> Any:  # noqa: ANN401 (click's values)
        try:
            return command(settings=_settings(config_file, db), **arguments)
        except _USAGE_ERRORS as error:
            raise _Failure(str(error), EXIT_USAGE) from error
        except BrokenPipeError:
            raise  # The reader of the output has enough; click ends quietly.
        except (EngineError, StoreError, SendError, OSError) as error:
            raise _Failure(_sentence(error), EXIT_STORE) from error
        except KeyboardInterrupt:
            # Not 1, which means a regression; and at once, for a thread may still wait for the server.
            click.echo("Interrupted.", err=True)
            sys.stdout.flush()
            os._exit(EXIT_INTERRUPTED)

    return wrapped  # type: ignore[return-value]


def _settings(config_file: Path | None, db: StoreAddress | None) -> Settings:
    config = load(config_file)
    store = db or config.db
    if isinstance(store, Path) and store.is_dir():
        raise ConfigError(f"{store} is a folder; name a file for the store.")
    return Settings(config, store, config_file)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}."
    return str(error)


class _Failure(click.ClickException):
    def __init__(self, message: str, status: int) -> None:
        from spanverdict.output import printable  # noqa: PLC0415 (for failures alone)

        # It may quote what was stored.
        super().__init__(printable(message))
        # click declares the status for the class and reads it from the instance.
        self.exit_code = status  # type: ignore[misc]


class Time(click.ParamType[datetime]):
    """A moment as ISO 8601; UTC unless it names an offset. Its value is naive UTC."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401
        """Parse the text of an option."""
        if isinstance(value, datetime):
            return value
        try:
            given = datetime.fromisoformat(value)
            moment = given if given.tzinfo is None else given.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not an ISO 8601 time, such as 2026-11-01T00:00Z.", param, ctx)
        if not _EARLIEST <= moment < _LATEST:
            self.fail(f"{value!r} is not a time between 1970 and 2262, which is what the store holds.", param, ctx)
        return moment


class Number(click.FloatRange):
    """A number within bounds, which "nan" is not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401
        """Parse the text of an option."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number
