"""What a text in PostgreSQL's SQL holds, told by its tokens: statements and parameters, not what looks like them in texts."""

from __future__ import annotations

import sqlglot
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType


def split_statements(text: str) -> list[str]:
    """The statements of a text, which semicolons part; empty ones are left out."""
    found, begin = [], 0
    tokens = _tokens(text)
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            found.append((begin, token.start))
            begin = token.end + 1
    found.append((begin, len(text)))
    # Between two semicolons there may be comments alone.
    starts = [token.start for token in tokens if token.token_type != TokenType.SEMICOLON]
    return [text[begin:end] for begin, end in found if not tokens or any(begin <= at < end for at in starts)]


def numbered_parameters(text: str) -> dict[int, str | None]:
    """The parameters ``$1`` and so on of a statement: number → the type that one is cast to by ``::``, if any."""
    found: dict[int, str | None] = {}
    tokens = _tokens(text)
    for at, token in enumerate(tokens[:-1]):
        if token.token_type != TokenType.PARAMETER or not tokens[at + 1].text.isdecimal():
            continue
        number = int(tokens[at + 1].text)
        cast = tokens[at + 3].text.lower() if [one.token_type for one in tokens[at + 2 : at + 3]] == _CAST and at + 3 < len(tokens) else None
        found[number] = found.get(number) or cast
    return found


_CAST = [TokenType.DCOLON]


def _tokens(text: str) -> list[Token]:
    """The tokens of a text; none of one that is broken, of which the server says what is wrong."""
    try:
        return list(sqlglot.tokenize(text, read="postgres"))
    except SqlglotError:
        return []
