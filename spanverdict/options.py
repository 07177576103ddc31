"""What every command shares: the configuration and store options, times, and errors as one sentence and a status."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from analytics.feedback_file import FeedbackFileError
from analytics.promotions import NoPromotionError
from spanverdict.config import Config, ConfigError, load
from sql.errors import QueryError, StoreError

EXIT_USAGE = 2
EXIT_STORE = 4

_Function = TypeVar("_Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Settings:
    """What ``--config`` and ``--db`` came to."""

    config: Config
    db: Path


def store_options(command: _Function) -> _Function:
    """Add ``--config`` and ``--db`` to a command and hand it ``settings``; errors end it with their status."""

    @click.option(
        "--config", "config_file", type=click.Path(path_type=Path),
        help="TOML configuration; default: spanverdict.toml in the working directory, if there.",
    )  # fmt: skip
    @click.option("--db", type=click.Path(path_type=Path), help="The store; default: spanverdict.duckdb.")
    @functools.wraps(command)
    def wrapped(config_file: Path | None, db: Path | None, **arguments: Any) -> Any:  # noqa: ANN401 (click's values)
        try:
            config = load(config_file)
            return command(settings=Settings(config, db or config.db), **arguments)
        except (ConfigError, FeedbackFileError, NoPromotionError, QueryError) as error:
            raise _failure(error, EXIT_USAGE) from error
        except (StoreError, OSError) as error:
            raise _failure(error, EXIT_STORE) from error

    return wrapped  # type: ignore[return-value]


def _failure(error: Exception, status: int) -> click.ClickException:
    return _Failure(str(error), status)


class _Failure(click.ClickException):
    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
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
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not an ISO 8601 time, such as 2026-11-01T00:00Z.", param, ctx)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
