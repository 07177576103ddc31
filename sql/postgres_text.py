"""The statements and parameters of a text in PostgreSQL's SQL, told by its tokens: not what looks so inside quotes."""

from __future__ import annotations

from itertools import pairwise

import sqlglot
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType


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
    if not tokens:
        return [text] if text.strip() else []
    return [text[begin:end] for begin, end in found if any(begin <= at < end for at in starts)]


def numbered_parameters(text: str) -> dict[int, str | None]:
    """The parameters ``$1`` and so on of a statement: number → the type that its place tells, if any.

    That is the type of a cast (``$1::int``), and an array of texts in ``ANY($1)``.
    """
    found: dict[int, str | None] = {}
    tokens = _tokens(text)
    for at, (sign, number) in enumerate(pairwise(tokens)):
        if sign.token_type == TokenType.PARAMETER and number.text.isdecimal():
            told = _cast_type(tokens[at + 2 :]) or _array_type(tokens[max(at - 2, 0) : at])
            found[int(number.text)] = found.get(int(number.text)) or told
    return found


def _cast_type(tokens: list[Token]) -> str | None:
    """The type of a cast that tokens begin with: ``::int[]``."""
    if len(tokens) < 2 or tokens[0].token_type != TokenType.DCOLON:  # noqa: PLR2004 (:: and a type)
        return None
    brackets = [token.token_type for token in tokens[2:4]] == [TokenType.L_BRACKET, TokenType.R_BRACKET]
    return tokens[1].text.lower() + ("[]" if brackets else "")


def _array_type(tokens: list[Token]) -> str | None:
    return "text[]" if [token.token_type for token in tokens] == [TokenType.ANY, TokenType.L_PAREN] else None


def _tokens(text: str) -> list[Token]:
    """The tokens of a text; none of one that is broken, of which the server says what is wrong."""
    try:
        return list(sqlglot.tokenize(text, read="postgres"))
    except SqlglotError:
        return []
