"""The search for patterns in a column of texts, and what is put in their place.

The search is RE2's, which takes time linear in the text, whatever the text: telemetry is written by strangers. What an
expression cannot tell (check digits) is looked at in Python, in the few texts that have a candidate.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.literals import FALSE, ZERO
from collector.patterns import PATTERNS, Expression, PatternError, check_known, check_name

Marks = npt.NDArray[np.bool_]


def check_expression(expression: str) -> str:
    """An own pattern's expression, if RE2 can search for it.

    Raises:
        PatternError: it is not in RE2's syntax, or finds the empty text.
    """
    try:
        # Alone, so that it closes no parenthesis but its own; and as it will be searched for.
        empty = [pc.match_substring_regex(pa.array([""]), form)[0].as_py() for form in (expression, _apart(expression))]
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        why = str(error).removeprefix("Invalid regular expression: ")
        raise PatternError(f"it is not a regular expression that RE2 knows: {why}") from error
    if any(empty):
        raise PatternError("it also finds the empty text, so it would find something everywhere")
    return expression


def _apart(expression: str) -> str:
    """An own expression in the form of the built-in ones: nothing stands before the find."""
    return f"()(?:{expression})"


@dataclass(frozen=True)
class Masked:
    """Texts without what was found.

    Attributes:
        texts: as they were, with finds replaced.
        found: pattern → which texts had it; only patterns that were found.
    """

    texts: pa.Array
    found: dict[str, Marks]

    @property
    def changed(self) -> Marks:
        """Which texts are not as they were."""
        marks: Marks = np.zeros(len(self.texts), dtype=bool)
        for one in self.found.values():
            marks |= one
        return marks


class Masker:
    """Replaces what patterns find by ``[redacted:NAME]``.

    Args:
        names: built-in patterns to search for.
        custom: further patterns, name → expression in RE2's syntax; they are searched for first.

    Raises:
        PatternError: a name is not known or taken, or an expression cannot be used.
    """

    def __init__(self, names: Sequence[str], custom: Mapping[str, str]) -> None:
        for name in names:
            check_known(name)
        own = {check_name(name): (Expression(_apart(check_expression(text))),) for name, text in custom.items()}
        self._patterns = own | {name: known for name, known in PATTERNS.items() if name in names}
        # One pass for all of them tells which texts need a closer look: most need none.
        self._any = "|".join(f"(?:{one.text})" for expressions in self._patterns.values() for one in expressions)

    def mask(self, texts: pa.Array) -> Masked:
        """Search texts, each distinct one once; null stays null."""
        encoded = texts.dictionary_encode()
        if not pc.any(pc.greater(pc.binary_length(encoded.dictionary), ZERO), min_count=0).as_py():
            # Every search compiles its expressions, for a millisecond or two.
            return Masked(texts, {})
        hits = pc.match_substring_regex(encoded.dictionary, self._any)
        if not pc.any(hits, min_count=0).as_py():
            return Masked(texts, {})
        suspects: Marks = hits.to_numpy(zero_copy_only=False)
        distinct = encoded.dictionary.filter(hits)
        found: dict[str, Marks] = {}
        for name, expressions in self._patterns.items():
            for expression in expressions:
                distinct, marks = _replaced(distinct, expression, f"[redacted:{name}]")
                if marks is not None:
                    found[name] = found[name] | marks if name in found else marks
        if not found:
            return Masked(texts, {})
        return Masked(
            pc.replace_with_mask(encoded.dictionary, hits, distinct).take(encoded.indices),
            {name: _spread(marks, suspects, encoded.indices) for name, marks in found.items()},
        )


def _spread(marks: Marks, suspects: Marks, codes: pa.Array) -> Marks:
    """What was found in the suspects among the distinct texts, told of every text."""
    distinct: Marks = np.zeros(len(suspects), dtype=bool)
    distinct[suspects] = marks
    of_texts: Marks = pc.fill_null(pa.array(distinct).take(codes), FALSE).to_numpy(zero_copy_only=False)
    return of_texts


def _replaced(texts: pa.Array, expression: Expression, replacement: str) -> tuple[pa.Array, Marks | None]:
    """Texts with the finds of one expression replaced, and which those are; None if there are none."""
    hits = pc.match_substring_regex(texts, expression.text)
    if not pc.any(hits, min_count=0).as_py():
        return texts, None
    marks: Marks = hits.to_numpy(zero_copy_only=False)
    if expression.find_end is None:
        mended = pc.replace_substring_regex(texts.filter(hits), expression.text, rf"\1{replacement}")
        return pc.replace_with_mask(texts, hits, mended), marks
    # RE2 knows the words of ASCII only; Python shall see the same candidates.
    candidates, find_end = re.compile(expression.text, re.ASCII), expression.find_end
    before = texts.filter(hits).to_pylist()
    after = [_checked(text, candidates, replacement, find_end) for text in before]
    marks = marks.copy()
    marks[marks] = [old != new for old, new in zip(before, after, strict=True)]
    if not marks.any():
        return texts, None
    return pc.replace_with_mask(texts, hits, pa.array(after, pa.string())), marks


def _checked(text: str, expression: re.Pattern[str], replacement: str, find_end: Callable[[str], int]) -> str:
    """Replace the candidates that pass the check; one that does not may still hold the beginning of another.

    Candidates are of bounded length, so this is linear as well.
    """
    parts: list[str] = []
    done = position = 0
    while found := expression.search(text, position):
        start = found.end(1)
        length = find_end(text[start : found.end()])
        if length:
            parts += [text[done:start], replacement]
            done = position = start + length
        else:
            # What stands before the next candidate may be the last character of this one.
            position = max(found.start() + 1, start)
    return "".join((*parts, text[done:]))
