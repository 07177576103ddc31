"""JSON files that people keep: the order of keys, the indentation and letters beyond ASCII stay."""

from __future__ import annotations

import json
import re
from typing import Any

from analytics.errors import InputError


def parsed(text: str, where: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        InputError: the text is no JSON object, or has a key twice.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"{where}: {twice!r} stands twice in one object; remove one.")
        return found

    try:
        value = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}, line {error.lineno}: this is not JSON: {error.msg}.") from error
    except RecursionError as error:
        raise InputError(f"{where}: it is nested too deeply.") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: it is not a JSON object.")
    return value


def text_of(value: dict[str, Any], like: str = "") -> str:
    """The text of an object, indented like another text."""
    found = re.search(r"\n([ \t]+)\"", like)
    indent = found[1] if found else "  "
    end = "\n" if not like or like.endswith("\n") else ""
    return json.dumps(value, indent=indent, ensure_ascii=like.isascii() and bool(like), allow_nan=False) + end
