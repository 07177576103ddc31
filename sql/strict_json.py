"""JSON from outside, read strictly: what two parsers could read in two ways is refused (RFC 8259; I-JSON, RFC 7493)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from typing import Any

DEEPEST = 32
"""Levels of arrays and objects that a value may have."""

_SHOWN = 60


class JsonError(ValueError):
    """The text cannot be taken; the message is a clause that says why.

    Attributes:
        name: the member at fault, where it is one.
    """

    def __init__(self, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


def parse(text: bytes | str) -> Any:  # noqa: ANN401 (JSON has many types)
    """Parse a JSON text; a byte order mark before it is passed over.

    Raises:
        JsonError: it is not UTF-8, not JSON (which has no NaN), has a name twice in one object, or is nested too deeply
            to be parsed.
    """
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return _DECODER.decode(decoded)
    except UnicodeDecodeError as error:
        raise JsonError(f"it is not UTF-8 text: see byte {error.start + 1}") from error
    except RecursionError as error:
        raise JsonError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise JsonError(f"it is not JSON: {_lowered(error.msg)} at character {error.pos + 1}") from error
    except JsonError:
        raise
    except ValueError as error:
        raise JsonError("it is not JSON that can be read: a number has too many digits") from error


def parse_storable(text: bytes | str) -> Any:  # noqa: ANN401
    """Parse a JSON text as `parse` does, and see that `write` could write what it says.

    Raises:
        JsonError: one of the two cannot.
    """
    value = parse(text)
    write(value)
    return value


def texts(members: dict[str, Any], plain: Collection[str]) -> dict[str, str | None]:
    """The members of an object as texts: a text as it is, every other value as JSON, null as none.

    Args:
        members: the object.
        plain: names whose value is no array and no object.

    Raises:
        JsonError: a member cannot be such a text; the message begins with its name.
    """
    found: dict[str, str | None] = {}
    for name, value in members.items():
        if value is None or value.__class__ is str:
            text = value
        elif value.__class__ is int:
            text = str(value)
        else:
            text = _json(name, value, plain)
        if not (name.isascii() and (text is None or text.isascii())):
            _check_text(name, text or "")
        found[name] = text
    return found


def write(value: object, what: str = "it") -> str:
    """A value as JSON that can be stored and read again.

    Args:
        value: what was parsed, or is like it.
        what: what messages call the value.

    Raises:
        JsonError: it is nested deeper than DEEPEST levels, or holds what JSON or text cannot say: a number that is not
            finite, half of a surrogate pair, a value of another kind.
    """
    if _is_deeper(value, DEEPEST):
        raise JsonError(f"{what} is nested deeper than {DEEPEST} levels")
    try:
        text = _ENCODER.encode(value)
        text.encode()
    except UnicodeEncodeError as error:
        raise JsonError(f"{what} holds half of a surrogate pair") from error
    except ValueError as error:
        raise JsonError(f"{what} holds a number that is too large") from error
    except TypeError as error:
        raise JsonError(f"{what} holds a value that JSON has no word for") from error
    return text


def typed(members: dict[str, Any]) -> dict[str, str]:
    """The members of an object as JSON each, so that a text differs from a number and null from none.

    Raises:
        JsonError: a member cannot be written; the message begins with its name.
    """
    for name in members:
        _check_text(name, "")
    return {name: write(value, _shown(name)) for name, value in members.items()}


def _json(name: str, value: object, plain: Collection[str]) -> str:
    if isinstance(value, list | dict):
        if name in plain:
            kind = "an array" if isinstance(value, list) else "an object"
            raise JsonError(f"{name} is {kind}, not a text or a number", name)
        if _is_deeper(value, DEEPEST):
            raise JsonError(f"{_shown(name)} is nested deeper than {DEEPEST} levels", name)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _check_text(name: str, text: str) -> None:
    try:
        name.encode()
        text.encode()
    except UnicodeEncodeError as error:
        # Such an escape is JSON, but no text of any encoding.
        raise JsonError(f"{_shown(name)} holds half of a surrogate pair", ascii(name)[1:-1]) from error


def _refuse_constant(name: str) -> float:
    raise JsonError(f"it is not JSON: {name} is not a value")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise JsonError(f"it has the name {_shown(twice)} twice in one object")
    return members


# Made once: `json.dumps` makes one for every value.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_once)


def _is_deeper(value: Any, levels: int) -> bool:  # noqa: ANN401
    if not isinstance(value, list | dict):
        return False
    return not levels or any(
        _is_deeper(item, levels - 1) for item in (value.values() if isinstance(value, dict) else value)
    )


def _shown(name: str) -> str:
    return ascii(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…")


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]
