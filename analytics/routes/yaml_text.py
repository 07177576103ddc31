"""YAML that keeps its comments, quotes, order and indentation when a part of it is changed."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark, YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.tokens import CommentToken

from analytics.errors import InputError

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


def found_at(root: CommentedMap, path: Sequence[str], where: str) -> Any:  # noqa: ANN401 (any YAML)
    """What stands at the end of a path of keys; None where nothing does.

    Raises:
        InputError: something on the way is not a mapping.
    """
    value: Any = root
    for number, key in enumerate(path):
        if value is None:
            return None
        if not isinstance(value, CommentedMap):
            raise InputError(f"{where}: {'.'.join(path[:number])!r} is not a mapping.")
        value = value.get(key)
    return value


def put(root: CommentedMap, path: Sequence[str], value: Any, where: str) -> None:  # noqa: ANN401
    """Set what stands at the end of a path of keys; comments that followed stay behind it.

    Raises:
        InputError: something on the way is not a mapping.
    """
    parent = root
    keys = list(path)
    while len(keys) > 1 and parent.get(keys[0]) is not None:
        done = len(path) - len(keys) + 1
        found_at(root, path[: done + 1], where)
        parent = parent[keys.pop(0)]
    for key in reversed(keys[1:]):
        made = CommentedMap()
        made[key] = value
        value = made
    before = keys[0] if keys[0] in parent else next(reversed(parent), None)
    tail = "" if before is None else _take_tail(parent, before)
    parent[keys[0]] = value
    _give_tail(parent, keys[0], tail)


def drop(root: CommentedMap, path: Sequence[str], where: str, tail: str = "") -> None:
    """Remove the key at the end of a path, where it is there; comments that followed stay.

    Args:
        root: where the path begins.
        path: the keys.
        where: what a message calls the whole.
        tail: further lines of comment that followed.

    Raises:
        InputError: something on the way is not a mapping.
    """
    if found_at(root, path, where) is None:
        return
    parent = found_at(root, path[:-1], where)
    keys = list(parent)
    tail = _take_tail(parent, path[-1]) + tail
    place = keys.index(path[-1])
    del parent[path[-1]]
    if place > 0:
        _give_tail(parent, keys[place - 1], tail)
    else:
        _give_tail(found_at(root, path[:-2], where), path[-2], tail)


def replace_ours(
    root: CommentedMap, path: Sequence[str], where: str, ours: Callable[[Any], bool], new: list[Any]
) -> None:
    """Put new entries of a list where the old ones of ours are, at its end where there are none.

    Entries of others and all comments stay; nothing changes if ours say the same already. A list that was ours alone
    goes when there are none anymore.

    Raises:
        InputError: what stands there is not a list.
    """
    items = found_at(root, path, where)
    if items is not None and not isinstance(items, CommentedSeq):
        raise InputError(f"{where}: {'.'.join(path)!r} is not a list.")
    if not items:
        if new:
            put(root, path, CommentedSeq(new), where)
        return
    places = [index for index, item in enumerate(items) if ours(item)]
    if [items[index] for index in places] == new:
        return
    tail = ""
    for index in reversed(places):
        tail = _take_tail(items, index) + tail
        del items[index]
    if not items and not new:
        drop(root, path, where, tail)
        return
    at = places[0] if places else len(items)
    if not places:
        tail = _take_tail(items, at - 1)
    for offset, item in enumerate(new):
        items.insert(at + offset, item)
    _give_tail(items, max(at + len(new) - 1, 0), tail)


def _leaf(parent: Any, key: Any) -> tuple[Any, Any]:  # noqa: ANN401 (any YAML)
    """The place behind which the comments stand that follow a value: that of its last scalar."""
    value = parent[key]
    if isinstance(value, CommentedMap | CommentedSeq) and value and not value.fa.flow_style():
        last = next(reversed(value)) if isinstance(value, CommentedMap) else len(value) - 1
        return _leaf(value, last)
    return parent, key


def _slot(parent: Any) -> int:  # noqa: ANN401
    """Where ruamel.yaml keeps the comment behind a value."""
    return 2 if isinstance(parent, CommentedMap) else 0


def _take_tail(parent: Any, key: Any) -> str:  # noqa: ANN401
    """Remove and return the lines of comment below a value; one on its own line stays with it."""
    parent, key = _leaf(parent, key)
    comments = parent.ca.items.get(key)
    token = comments[_slot(parent)] if comments else None
    if token is None:
        return ""
    own, end, below = token.value.partition("\n")
    token.value = own + end
    if not own:
        comments[_slot(parent)] = None
    return str(below)


def _give_tail(parent: Any, key: Any, tail: str) -> None:  # noqa: ANN401
    """Put lines of comment below a value."""
    if not tail:
        return
    parent, key = _leaf(parent, key)
    comments = parent.ca.items.setdefault(key, [None, None, None, None])
    token = comments[_slot(parent)]
    if token is None:
        comments[_slot(parent)] = CommentToken("\n" + tail, CommentMark(0), None)
    else:
        token.value += tail


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
