"""Text from traces made inert: what a person reads is what was sent, and nothing acts on the way."""

from __future__ import annotations

import unicodedata

NAME_LIMIT = 60
SENTENCE_LIMIT = 600

# Controls (escape sequences, newlines), format characters (bidirectional overrides, zero widths), halves of
# surrogate pairs, and line and paragraph separators: all of them act on the text around them or on a parser.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NONCHARACTERS = frozenset({"\ufffe", "\uffff"})


def visible(text: str, limit: int = NAME_LIMIT) -> str:
    """Show a text on one line, every acting character as its escape, long texts without their middle.

    Args:
        text: any text.
        limit: most characters to return.

    Returns:
        Printable text of at most ``limit`` characters, safe in a terminal and in XML; escape it for markup.
    """
    # The middle goes first, so that a megabyte of text costs no more than what is shown of it.
    shown = _without_middle(text, limit)
    if not shown.isprintable():
        shown = "".join(_escaped(character) for character in shown)
    return _without_middle(shown, limit) or '""'


def _without_middle(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}\u2026{text[len(text) - (limit - 1 - head) :]}"


def _escaped(character: str) -> str:
    if character in _NONCHARACTERS or unicodedata.category(character) in _ACTING:
        return character.encode("unicode_escape").decode("ascii")
    return character


def name(text: str) -> str:
    """A name (cohort, model, promotion, trace id) fit to stand in a sentence or a table."""
    return visible(text, NAME_LIMIT)


def sentence(text: str) -> str:
    """A reason or detail, which may quote names from traces."""
    return visible(text, SENTENCE_LIMIT)


def passage(text: str) -> str:
    """A whole text of several lines: line breaks and tabs stay, every other acting character is its escape."""
    return "\n".join(
        "".join(character if character == "\t" else _escaped(character) for character in line)
        for line in text.replace("\r\n", "\n").split("\n")
    )
