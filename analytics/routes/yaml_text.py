"""YAML that keeps its comments, quotes, order and indentation when a part of it is changed."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from analytics.errors import InputError

_Kind = TypeVar("_Kind")

_WIDE = 1_000_000
"""No line is broken that was not."""

_SEQUENCE = re.compile(r"^( *)(?:[^\s#-].*|- [^#\n]*):[ \t]*(?:#.*)?\n(?:[ \t]*(?:#.*)?\n)*( *)(-[ ]+)\S", re.MULTILINE)


def documents(text: str, where: str) -> list[Any]:
    """The documents of a YAML text, to be changed in place.

    Raises:
        InputError: the text is not YAML.
    """
    try:
        return list(_yaml(text).load_all(text))
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise InputError(f"{where}{place}: this is not YAML: {problem}.") from error
    except (RecursionError, ValueError, TypeError) as error:
        raise InputError(f"{where}: this is not YAML that can be read: {type(error).__name__}.") from error


def text_of(changed: list[Any], like: str = "") -> str:
    """The text of documents, indented like another text."""
    stream = io.StringIO()
    yaml = _yaml(like)
    if like.startswith("---") and len(changed) == 1:
        yaml.explicit_start = True
    yaml.dump_all(changed, stream)
    return stream.getvalue()


def mapping(parent: CommentedMap, key: str, where: str) -> CommentedMap:
    """The mapping under a key, made where it is missing.

    Raises:
        InputError: something else stands there.
    """
    return _kind(parent, key, where, CommentedMap, "a mapping")


def sequence(parent: CommentedMap, key: str, where: str) -> CommentedSeq:
    """The list under a key, made where it is missing.

    Raises:
        InputError: something else stands there.
    """
    return _kind(parent, key, where, CommentedSeq, "a list")


def _kind(parent: CommentedMap, key: str, where: str, kind: type[_Kind], told: str) -> _Kind:
    if parent.get(key) is None:
        parent[key] = kind()
    found = parent[key]
    if not isinstance(found, kind):
        raise InputError(f"{where}: {key!r} is not {told}.")
    return found


def replace_ours(items: CommentedSeq, ours: Callable[[Any], bool], new: list[Any]) -> None:
    """Put new entries of a list where the old ones of ours are, at its end where there are none.

    Entries that say the same already are left as they are written.
    """
    places = [index for index, item in enumerate(items) if ours(item)]
    if [items[index] for index in places] == new:
        return
    for index, item in zip(places, new, strict=False):
        items[index] = item
    for index in reversed(places[len(new) :]):
        del items[index]
    at = places[-1] + 1 if places else len(items)
    for offset, item in enumerate(new[len(places) :]):
        items.insert(at + offset, item)


def plain(value: Any) -> Any:  # noqa: ANN401 (any YAML)
    """A value as plain Python: mappings, lists and scalars."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, str) else value


def written(value: Any) -> Any:  # noqa: ANN401
    """Plain Python as YAML nodes: whatever text could be read as something else is in double quotes."""
    if isinstance(value, dict):
        made = CommentedMap()
        for key, each in value.items():
            made[key] = written(each)
        return made
    if isinstance(value, list | tuple):
        return CommentedSeq([written(each) for each in value])
    if isinstance(value, str) and not re.fullmatch(r"[A-Za-z][A-Za-z0-9_./-]*", value):
        return DoubleQuotedScalarString(value)
    if isinstance(value, str) and value.lower() in _WORDS:
        return DoubleQuotedScalarString(value)
    return value


_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that some readers of YAML take for something else than text."""


def _yaml(like: str) -> YAML:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = _WIDE
    yaml.allow_unicode = True
    dash = _dash(like)
    yaml.indent(mapping=2, sequence=dash + 2, offset=dash)
    return yaml


def _dash(text: str) -> int:
    """How far the dashes of lists stand to the right of their key."""
    for found in _SEQUENCE.finditer(text):
        key, dash = len(found[1]), len(found[2])
        if re.match(r"- ", text[found.start() + key :]):
            key += 2
        if dash >= key:
            return dash - key
    return 2 if not text else 0
