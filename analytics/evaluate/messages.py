"""Messages in any of the shapes that providers and instrumentations give them → one shape."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

from analytics.evaluate.subject import Message, ToolCall

MOST_MESSAGES = 1_000
"""Messages, parts or tool calls of one list that are read; what follows is left out."""

_DEEPEST = 6
"""How deep messages are looked for in what wraps them."""

_TEXT_KEYS = ("text", "content", "output_text", "value")
_TEXT_PARTS = frozenset({"text", "output_text", "input_text", None})
_CALL_PARTS = frozenset({"tool_call", "tool_use", "tool-call", "function_call"})
_RESULT_PARTS = frozenset({"tool_result", "tool_call_response"})
_WRAPPERS = ("choices", "messages", "candidates", "output")
_WRAPPER = "message"
_ROLES = {"model": "assistant", "ai": "assistant", "human": "user"}
_LONGEST_ROLE = 32


def parsed(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """A text that holds a JSON object or array, parsed; anything else as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def unflattened(attributes: Mapping[str, Any], prefix: str) -> list[Any]:
    """The list that ``prefix.N.…`` attributes spell out, in the order of N.

    Args:
        attributes: a span's attributes.
        prefix: what the names begin with, without the dot.
    """
    entries: dict[int, dict[str, Any]] = {}
    start = prefix + "."
    for name, value in attributes.items():
        if not name.startswith(start):
            continue
        index, _, rest = name[len(start) :].partition(".")
        if not (index.isascii() and index.isdigit()) or len(index) > len(str(MOST_MESSAGES)):
            continue
        entries.setdefault(int(index), {})[rest] = value
    return [_nested(entries[index]) for index in sorted(entries)[:MOST_MESSAGES]]


def _nested(flat: dict[str, Any]) -> Any:  # noqa: ANN401 (JSON)
    if list(flat) == [""]:
        return flat[""]
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        at = nested
        *path, last = name.split(".")[: 2 * _DEEPEST]
        for part in path:
            inner = at.setdefault(part, {})
            if not isinstance(inner, dict):
                break
            at = inner
        else:
            at.setdefault(last, value)
    return _listed(nested)


def _listed(value: Any) -> Any:  # noqa: ANN401 (JSON)
    if not isinstance(value, dict):
        return value
    if value and all(key.isascii() and key.isdigit() for key in value):
        return [_listed(value[key]) for key in sorted(value, key=int)[:MOST_MESSAGES]]
    return {key: _listed(inner) for key, inner in value.items()}


def messages_in(value: Any, role: str) -> tuple[Message, ...]:  # noqa: ANN401 (JSON)
    """The messages that a value is or wraps: a text, one message, a list of them, a provider's request or response.

    Args:
        value: what was recorded; JSON in a text is parsed.
        role: the role of a message that does not say its own.
    """
    found = itertools.islice(_messages(value, role, 0), MOST_MESSAGES)
    # Without its content a message may still have a role: a policy has dropped the rest.
    return tuple(message for message in found if message.text or message.tool_calls)


def _messages(value: Any, role: str, depth: int) -> Iterator[Message]:  # noqa: ANN401 (JSON)
    value = parsed(value)
    if depth > _DEEPEST or value in (None, "", [], {}):
        return
    if isinstance(value, list):
        if _are_parts(value):
            yield _message({"content": value}, role)
            return
        for item in value[:MOST_MESSAGES]:
            yield from _messages(item, role, depth + 1)
    elif isinstance(value, dict):
        yield from _of_object(value, role, depth)
    else:
        yield Message(role, value if isinstance(value, str) else json.dumps(value))


def _of_object(value: dict[str, Any], role: str, depth: int) -> Iterator[Message]:
    wrapped = next((key for key in _WRAPPERS if isinstance(parsed(value.get(key)), list)), None)
    if wrapped:
        # Anthropic's requests and Vercel's prompts tell the system's instructions beside the messages.
        if isinstance(value.get("system"), str):
            yield Message("system", value["system"])
        yield from _messages(value[wrapped], role, depth + 1)
    elif isinstance(value.get(_WRAPPER), dict | str):
        yield from _messages(value[_WRAPPER], role, depth + 1)
    elif "role" in value or "content" in value or "contents" in value or "parts" in value or "tool_calls" in value:
        inner = value.get("content")
        if isinstance(inner, dict) and "parts" in inner:
            yield _message({**inner, "role": inner.get("role", value.get("role", role))}, role)
        else:
            yield _message(value, role)
    elif value.get("type") in _CALL_PARTS or value.get("type") in ("text", "output_text"):
        yield _message({"content": [value]}, role)
    elif value.get("type") != "reasoning":
        yield Message(role, json.dumps(value, ensure_ascii=False))


def _are_parts(items: list[Any]) -> bool:
    """Whether a list holds the parts of one message rather than messages."""
    return all(
        isinstance(item, dict) and "role" not in item and "message" not in item and isinstance(item.get("type"), str)
        and item["type"] != "message"
        for item in items
    )  # fmt: skip


def _message(value: dict[str, Any], role: str) -> Message:
    texts: list[str] = []
    calls: list[ToolCall] = []
    for key in ("content", "contents", "parts"):
        content = value.get(key)
        content = parsed(content) if isinstance(content, str) and _looks_like_parts(content) else content
        if isinstance(content, str):
            texts.append(content)
        elif isinstance(content, dict):
            texts.append(json.dumps(content, ensure_ascii=False))
        elif isinstance(content, list):
            for part in content[:MOST_MESSAGES]:
                _take_part(part, texts, calls)
    for key in ("tool_calls", "toolCalls"):
        listed = parsed(value.get(key))
        if isinstance(listed, list):
            calls += [call for item in listed[:MOST_MESSAGES] if (call := _tool_call(item))]
    single = value.get("function_call")
    if isinstance(single, dict) and (call := _tool_call(single)):
        calls.append(call)
    spoken = value.get("role")
    # Some streams add a role up, piece by piece.
    told = _ROLES.get(spoken, spoken) if isinstance(spoken, str) and 0 < len(spoken) <= _LONGEST_ROLE else role
    return Message(told, "\n".join(text for text in texts if text), tuple(calls))


def _looks_like_parts(content: str) -> bool:
    """Whether a text is a list of parts in JSON; an answer that is JSON itself stays the text that it is."""
    if not content.startswith("["):
        return False
    items = parsed(content)
    kinds = _TEXT_PARTS | _CALL_PARTS | _RESULT_PARTS | {"image_url", "reasoning"}
    return (
        isinstance(items, list)
        and bool(items)
        and all(
            isinstance(item, dict) and item.get("type") in kinds - {None} and len(item) > 1 and "role" not in item
            for item in items
        )
    )


def _take_part(part: Any, texts: list[str], calls: list[ToolCall]) -> None:  # noqa: ANN401 (JSON)
    """Add what one part of a message says to its texts, or to the tools that it asks for."""
    if isinstance(part, str):
        texts.append(part)
    if not isinstance(part, dict):
        return
    # OpenInference wraps each part once more.
    inner = part.get("message_content")
    part = inner if isinstance(inner, dict) else part
    kind = part.get("type")
    called = part if kind in _CALL_PARTS else _gemini_call(part)
    if called is not None:
        call = _tool_call(called)
        calls += [call] if call else []
    elif kind in _TEXT_PARTS:
        texts += _texts(part)
    elif kind in _RESULT_PARTS:
        answer = next((part[key] for key in ("response", "result", "content") if part.get(key) is not None), None)
        texts += [] if answer is None else [answer if isinstance(answer, str) else json.dumps(answer)]


def _gemini_call(part: dict[str, Any]) -> dict[str, Any] | None:
    """A call that is told by its key rather than by a type."""
    found = (part.get(key) for key in ("function_call", "functionCall"))
    return next((call for call in found if isinstance(call, dict)), None)


def _texts(part: dict[str, Any]) -> list[str]:
    """The texts of a part; OpenLIT puts a provider's list of parts into one."""
    text = next((part[key] for key in _TEXT_KEYS if isinstance(part.get(key), str)), None)
    if text is not None:
        return [text]
    inner = part.get("content")
    listed = inner[:MOST_MESSAGES] if isinstance(inner, list) else []
    return [one["text"] for one in listed if isinstance(one, dict) and isinstance(one.get("text"), str)]


def _tool_call(item: Any) -> ToolCall | None:  # noqa: ANN401 (JSON)
    if isinstance(item, dict) and isinstance(item.get("tool_call"), dict):
        item = item["tool_call"]
    if not isinstance(item, dict):
        return None
    function = item.get("function")
    inner = function if isinstance(function, dict) else item
    name = next((inner[key] for key in ("name", "toolName", "tool_name") if isinstance(inner.get(key), str)), None)
    arguments = next(
        (inner[key] for key in ("arguments", "args", "input", "parameters") if inner.get(key) is not None), None
    )
    return ToolCall(name, arguments)
