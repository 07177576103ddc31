"""Values for the parameters of a query, as they are written on the command line: `--param since=7d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import click

from spanverdict.options import Time
from sql.clock import utc_now

_ASSIGNMENT = re.compile(r"\s*\$?([A-Za-z_]\w*)\s*=(.*)", re.DOTALL)
_DURATION = re.compile(r"(\d{1,6})(s|m|h|d|w)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\S.*)?")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE]-?\d{1,2})?")
_LONGEST_NUMBER = 15
"""Digits that a double holds; longer ones are ids: a span's has 16 characters, and may be digits alone."""


def parameter(text: str) -> tuple[str, Any]:
    """The name and value of ``NAME=VALUE``.

    A duration (``90s``, ``30m``, ``24h``, ``7d``, ``2w``) is the time so long ago, an ISO 8601 time is that time, both
    naive UTC; a number of up to 15 characters is a number; what is quoted, and anything else, is text.

    Raises:
        click.UsageError: the text is no such pair, or its time cannot be used.
    """
    found = _ASSIGNMENT.fullmatch(text)
    if not found:
        raise click.UsageError(f"{text!r} is not NAME=VALUE, such as since=7d.")
    return found[1], _value(found[2].strip())


def parameters(texts: tuple[str, ...]) -> dict[str, Any]:
    """The values of several, by name.

    Raises:
        click.UsageError: one cannot be used, or a name comes twice.
    """
    values: dict[str, Any] = {}
    for name, value in map(parameter, texts):
        if name in values:
            raise click.UsageError(f"The parameter {name} is given twice.")
        values[name] = value
    return values


def _value(text: str) -> Any:  # noqa: ANN401 (a time, a number or a text)
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    if quoted:
        return text[1:-1]
    if duration := _DURATION.fullmatch(text):
        try:
            return utc_now() - timedelta(**{_UNITS[duration[2]]: int(duration[1])})
        except OverflowError as error:
            raise click.UsageError(f"{text} ago is before the year 1.") from error
    if _TIME.fullmatch(text):
        return Time().convert(text, None, None)
    if len(text) <= _LONGEST_NUMBER and (number := _NUMBER.fullmatch(text)):
        return int(text) if number[2] is None and number[3] is None else float(text)
    return text
