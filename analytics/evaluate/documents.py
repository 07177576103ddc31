"""What retrievals found, as evaluators of groundedness read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from analytics.evaluate.messages import MOST_MESSAGES, parsed, unflattened
from analytics.evaluate.recorded import is_whole

_INDEXED = ("retrieval.documents", "reranker.output_documents")
_LISTS = ("gen_ai.retrieval.documents", "ai.documents", "output.value", "traceloop.entity.output")
_TEXT_KEYS = ("content", "page_content", "text", "document")


def documents(attributes: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The texts that a retrieval found.

    Args:
        attributes: those of a RETRIEVER or RERANKER span.

    Returns:
        The texts, in order, of the first attribute that holds any; empty where none was recorded; None where one of
        them is not what was found, because it was cut or hashed.
    """
    places = [unflattened(attributes, name) for name in _INDEXED] + [attributes.get(name) for name in _LISTS]
    for place in places:
        if place in (None, [], ""):
            continue
        if not is_whole(place):
            return None
        texts = tuple(_texts(parsed(place)))
        if texts:
            return texts
    return ()


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 (JSON)
    if isinstance(value, list):
        for item in value[:MOST_MESSAGES]:
            yield from _texts(item)
    elif isinstance(value, str) and value:
        yield value
    elif isinstance(value, dict):
        for key in _TEXT_KEYS:
            inner = parsed(value.get(key))
            if inner:
                yield from _texts(inner)
                return
