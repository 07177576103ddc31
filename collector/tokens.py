"""Token arithmetic: counts that are inclusive of cache and of reasoning, and the rule that made them so.

OpenTelemetry GenAI (1.40 and later) defines `input_tokens` as inclusive of cached tokens and `output_tokens` as
inclusive of reasoning tokens; older and other emitters differ. What the convention or the emitting scope is known to
mean comes first, then arithmetic, then inclusive; each row says which rule decided, and what contradicted it.

A total tells two things apart unequally. Input plus output plus the cached tokens is proof that the input leaves them
out: no other reading gives that number. Input plus output is what every inclusive emitter sends, but also every
emitter that adds up its own two counts, whatever they mean. So a total overrules a scope known to include, and only
contradicts one known to exclude.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.conventions.token_meaning import CACHE_IN_TOTAL, THOUGHTS_IN_TOTAL, ScopeMeaning, meaning_of
from collector.conventions.usage import Count, Meaning
from collector.usage import Counted, Marks, Numbers, Usage

INPUT_RULES = (
    "convention: input includes cache",
    "convention: input excludes cache",
    "scope: input includes cache",
    "scope: input excludes cache",
    "uncached count: input includes cache",
    "uncached count: input excludes cache",
    "cache exceeds input: input excludes cache",
    "total: input includes cache",
    "total: input excludes cache",
    "default: input includes cache",
)
"""Which rule decided about the input, in the order in which they are tried; ``default`` where none could tell."""

OUTPUT_RULES = (
    "convention: output excludes reasoning",
    "scope: output excludes reasoning",
    "unreasoned count: output excludes reasoning",
    "total: output excludes reasoning",
    "reasoning exceeds output: output raised to it",
)
"""Which rule changed the output; nothing is said of an output that includes its reasoning."""

_EXCLUDING_INPUT = [place for place, rule in enumerate(INPUT_RULES) if rule.endswith("excludes cache")]
_EXCLUDING_OUTPUT = [place for place, rule in enumerate(OUTPUT_RULES) if rule.endswith("excludes reasoning")]
_RAISED = len(OUTPUT_RULES) - 1

CONFLICTS = {
    "arithmetic contradicts scope on input": "the scope or the convention is known to include cached tokens, and the "
    "numbers say that it leaves them out, or the other way round",
    "arithmetic contradicts scope on output": "the same of reasoning tokens",
    "total leaves parts out": "the reported total is the sum of the two counts as sent, which leave parts out",
    "total fits more than one reading": "the reported total would fit if the counts left cache out, or reasoning, and "
    "does not tell which",
    "total fits no reading": "the reported total is not what input and output come to, whatever they include",
    "reasoning exceeds output": "more reasoning than output, and no total that explains it",
    "cache write parts differ from cache write": "those kept for five minutes and for an hour are not what was written",
    "one-hour cache write exceeds cache write": "the part is cut to the whole",
    "cached tokens without parts": "the reported total holds cached tokens, and nothing tells how many were read and "
    "how many written",
    "audio exceeds its whole": "a part that was audio is more than the whole, and is cut to it",
}
"""Code → what contradicts what; a code beside these names a convention and the count of which it has another number."""


def _joined_rules() -> pa.Array:
    """The texts of token_rule: one rule of the input, or none, with one of the output, or none."""
    texts = [
        "; ".join(part for part in (first, second) if part) or None
        for first in (*INPUT_RULES, None)
        for second in (*OUTPUT_RULES, None)
    ]
    return pa.array(texts, pa.string())


_RULES = _joined_rules()


@dataclass(frozen=True)
class _Scopes:
    """What is known of each span's scope."""

    input: dict[Meaning, Marks]
    output: dict[Meaning, Marks]
    sums_total: Marks


@dataclass(frozen=True)
class _Decided:
    """A count made inclusive of its parts.

    Attributes:
        number: the count.
        rule: which of the rules decided; one past the last for none.
        contradicted: where the numbers speak against what the scope is known to mean.
    """

    number: Numbers
    rule: Numbers
    contradicted: Marks


def settle_tokens(
    usage: Usage, provider: pa.Array, scope_name: pa.Array, scope_version: pa.Array
) -> dict[str, pa.Array]:
    """Make every count inclusive of its parts, and say by which rule and against what.

    Args:
        usage: the counts as they were sent.
        provider: canonical provider of each span.
        scope_name: instrumentation scope of each span.
        scope_version: its version.

    Returns:
        The token columns of the table `spans`. In every row a part is at most its whole, where both are known.
    """
    conflicts = dict(usage.disagreements)
    scopes = _scopes(provider, scope_name, scope_version)
    _complete_by_total(usage, provider, scopes, conflicts)
    written, written_1h = _cache_writes(usage, conflicts)
    cached = usage[Count.CACHE_READ].number + written.number
    as_input = _settle_input(usage, scopes, cached)
    as_output = _settle_output(usage, scopes, as_input, cached)
    given, sent = usage[Count.INPUT], usage[Count.OUTPUT]
    conflicts["arithmetic contradicts scope on input"] = as_input.contradicted
    conflicts["arithmetic contradicts scope on output"] = as_output.contradicted
    conflicts["reasoning exceeds output"] = as_output.rule == _RAISED
    total = usage[Count.TOTAL]
    apart = total.known & given.known & sent.known & (total.number != as_input.number + as_output.number)
    # What the scope and its total disagree on is said already.
    apart &= ~as_input.contradicted & ~as_output.contradicted
    own_sum = total.number == given.number + sent.number
    conflicts["total leaves parts out"] = apart & own_sum
    reasoning = usage[Count.REASONING].number
    readings = (cached, reasoning, cached + reasoning)
    ambiguous = apart & ~own_sum & _among(total.number, given.number + sent.number, readings)
    conflicts["total fits more than one reading"] = ambiguous
    conflicts["total fits no reading"] = apart & ~own_sum & ~ambiguous
    inputs, outputs = Counted(as_input.number, given.known), Counted(as_output.number, sent.known)
    audio = {
        "input_audio_tokens": _cut(usage[Count.INPUT_AUDIO], inputs, conflicts),
        "output_audio_tokens": _cut(usage[Count.OUTPUT_AUDIO], outputs, conflicts),
        "cache_audio_read_tokens": _cut(
            _cut(usage[Count.CACHE_AUDIO_READ], usage[Count.CACHE_READ], conflicts), inputs, conflicts
        ),
    }
    settled = {
        "input_tokens": inputs,
        "output_tokens": outputs,
        "reported_total_tokens": total,
        "cache_read_tokens": usage[Count.CACHE_READ],
        "cache_write_tokens": written,
        "cache_write_1h_tokens": written_1h,
        "reasoning_tokens": usage[Count.REASONING],
        **audio,
    }
    return {
        **{name: counted.column() for name, counted in settled.items()},
        "token_rule": _RULES.take(pa.array(as_input.rule * (len(OUTPUT_RULES) + 1) + as_output.rule)),
        "token_conflict": _joined_conflicts(conflicts, len(given.number)),
    }


def _complete_by_total(usage: Usage, provider: pa.Array, scopes: _Scopes, conflicts: dict[str, Marks]) -> None:
    """Add the part that only a provider's own total tells of: Gemini's thoughts, and what Bedrock has cached.

    Gemini's total is prompt, candidates and thoughts; Bedrock's is input, output, cache reads and cache writes.
    """
    given, sent, total = usage[Count.INPUT], usage[Count.OUTPUT], usage[Count.TOTAL]
    read, written, reasoning = usage[Count.CACHE_READ], usage[Count.CACHE_WRITE], usage[Count.REASONING]
    rest = total.number - given.number - sent.number
    told = given.known & sent.known & total.known & (rest > 0) & ~scopes.sums_total

    def of(names: frozenset[str]) -> Marks:
        marks: Marks = pc.is_in(provider, pa.array(sorted(names))).to_numpy(zero_copy_only=False)
        return marks

    thoughts = told & ~(reasoning.number > 0) & (rest != read.number + written.number) & of(THOUGHTS_IN_TOTAL)
    reasoning.number[thoughts] = rest[thoughts]
    reasoning.known |= thoughts
    short, long = usage[Count.CACHE_WRITE_5M], usage[Count.CACHE_WRITE_1H]
    uncounted = ~read.known & ~written.known & ~short.known & ~long.known & ~(reasoning.number > 0)
    cached = told & uncounted & of(CACHE_IN_TOTAL)
    given.number[cached] += rest[cached]
    conflicts["cached tokens without parts"] = cached


def _settle_input(usage: Usage, scopes: _Scopes, cached: Numbers) -> _Decided:
    given, output, total = usage[Count.INPUT], usage[Count.OUTPUT], usage[Count.TOTAL]
    uncached, reasoning = usage[Count.UNCACHED], usage[Count.REASONING].number
    some = given.known & (cached > 0)
    # A total may or may not hold reasoning beside the output.
    outputs = (output.number, output.number + reasoning)
    comparable = some & total.known & output.known
    inclusive = comparable & _among(total.number, given.number, outputs)
    exclusive = comparable & _among(total.number, given.number + cached, outputs)
    # Two readings of one number prove neither, and a sum of the two counts proves nothing.
    inclusive, exclusive = inclusive & ~exclusive & ~scopes.sums_total, exclusive & ~inclusive
    told_inclusive = some & uncached.known & (uncached.number + cached == given.number)
    told_exclusive = some & uncached.known & (uncached.number == given.number)
    exceeds = given.known & (cached > given.number)
    proves_exclusive = exceeds | told_exclusive | (exclusive & ~told_inclusive)
    includes, excludes = Meaning.INCLUDES, Meaning.EXCLUDES
    rule = np.select(
        [
            ~given.known,
            usage.input[includes] & ~proves_exclusive,
            usage.input[excludes] & ~told_inclusive,
            scopes.input[includes] & ~proves_exclusive,
            scopes.input[excludes] & ~told_inclusive,
            told_inclusive,
            told_exclusive,
            exceeds,
            inclusive,
            exclusive,
        ],
        [len(INPUT_RULES), *range(len(INPUT_RULES) - 1)],
        default=len(INPUT_RULES) - 1,
    )
    known = {meaning: usage.input[meaning] | _unless(usage.input, scopes.input[meaning]) for meaning in Meaning}
    contradicted = given.known & (
        (known[includes] & proves_exclusive) | (known[excludes] & (told_inclusive | inclusive))
    )
    leaves_out = np.isin(rule, _EXCLUDING_INPUT)
    audio = np.where(usage.additive & leaves_out, usage[Count.INPUT_AUDIO].number, 0)
    return _Decided(np.where(leaves_out, given.number + cached + audio, given.number), rule, contradicted)


def _settle_output(usage: Usage, scopes: _Scopes, as_input: _Decided, cached: Numbers) -> _Decided:
    sent, given, total = usage[Count.OUTPUT], usage[Count.INPUT], usage[Count.TOTAL]
    reasoning = usage[Count.REASONING].number
    some = sent.known & (reasoning > 0)
    inputs = (as_input.number, given.number, given.number + cached)
    comparable = some & total.known & given.known
    inclusive = comparable & _among(total.number, sent.number, inputs)
    exclusive = comparable & _among(total.number, sent.number + reasoning, inputs)
    inclusive, exclusive = inclusive & ~exclusive & ~scopes.sums_total, exclusive & ~inclusive
    includes, excludes = Meaning.INCLUDES, Meaning.EXCLUDES
    known = {meaning: usage.output[meaning] | _unless(usage.output, scopes.output[meaning]) for meaning in Meaning}
    unreasoned = usage[Count.UNREASONED]
    told_exclusive = some & unreasoned.known & (unreasoned.number == sent.number)
    rule = np.select(
        [
            ~some,
            usage.output[excludes],
            known[excludes],
            told_exclusive,
            exclusive,
            reasoning > sent.number,
        ],
        [len(OUTPUT_RULES), *range(len(OUTPUT_RULES))],
        default=len(OUTPUT_RULES),
    )
    contradicted = some & ((known[includes] & exclusive) | (known[excludes] & inclusive & (reasoning <= sent.number)))
    leaves_out = np.isin(rule, _EXCLUDING_OUTPUT)
    audio = np.where(usage.additive & sent.known, usage[Count.OUTPUT_AUDIO].number, 0)
    number = np.where(leaves_out, sent.number + reasoning, np.where(rule == _RAISED, reasoning, sent.number)) + audio
    return _Decided(number, rule, contradicted)


def _unless(by_convention: dict[Meaning, Marks], by_scope: Marks) -> Marks:
    """What the scope is known to mean, where the convention itself does not say."""
    return by_scope & ~by_convention[Meaning.INCLUDES] & ~by_convention[Meaning.EXCLUDES]


def _among(total: Numbers, count: Numbers, others: tuple[Numbers, ...]) -> Marks:
    """Where a total is a count plus one of some others."""
    marks: Marks = np.zeros(len(total), dtype=bool)
    for other in others:
        marks |= total == count + other
    return marks


def _cache_writes(usage: Usage, conflicts: dict[str, Marks]) -> tuple[Counted, Counted]:
    """What was written to a cache, and the part of it that is kept for an hour."""
    whole = usage[Count.CACHE_WRITE]
    short, long = usage[Count.CACHE_WRITE_5M], usage[Count.CACHE_WRITE_1H]
    parts = short.number + long.number
    told = short.known & long.known
    known = short.known | long.known
    # In buckets that add up, the plain one is what the others leave; the same number twice is the whole, told twice.
    rest = usage.additive & whole.known & known & (whole.number != parts)
    number = np.where(rest, whole.number + parts, np.where(whole.known, whole.number, parts))
    conflicts["cache write parts differ from cache write"] = told & whole.known & ~usage.additive & (parts != number)
    exceeds = long.known & (long.number > number)
    conflicts["one-hour cache write exceeds cache write"] = exceeds
    return Counted(number, whole.known | known), Counted(np.where(exceeds, number, long.number), long.known)


def _cut(part: Counted, whole: Counted, conflicts: dict[str, Marks]) -> Counted:
    """A part that is at most its whole."""
    exceeds: Marks = part.known & whole.known & (part.number > whole.number)
    if exceeds.any():
        code = "audio exceeds its whole"
        conflicts[code] = conflicts.get(code, np.zeros(len(exceeds), dtype=bool)) | exceeds
    return Counted(np.where(exceeds, whole.number, part.number), part.known)


def _joined_conflicts(conflicts: dict[str, Marks], spans: int) -> pa.Array:
    found = {code: marks for code, marks in conflicts.items() if marks.any()}
    if not found:
        return pa.nulls(spans, pa.string())
    texts: list[str | None] = [None] * spans
    for code, marks in found.items():
        for row in np.flatnonzero(marks).tolist():
            before = texts[row]
            texts[row] = code if before is None else f"{before}; {code}"
    return pa.array(texts, pa.string())


def _scopes(provider: pa.Array, scope_name: pa.Array, scope_version: pa.Array) -> _Scopes:
    """Look up each distinct scope, version and provider once."""
    columns = [column.dictionary_encode() for column in (scope_name, scope_version, provider)]
    codes = [pc.fill_null(column.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64) for column in columns]
    values = [column.dictionary.to_pylist() for column in columns]
    combined = codes[0] + 1
    for column, texts in zip(codes[1:], values[1:], strict=True):
        combined = combined * (len(texts) + 1) + column + 1
    _, first, inverse = np.unique(combined, return_index=True, return_inverse=True)
    known: list[ScopeMeaning | None] = []
    for row in first.tolist():
        scope, version, name = (
            texts[column[row]] if column[row] >= 0 else None for column, texts in zip(codes, values, strict=True)
        )
        known.append(meaning_of(scope, version, name))

    def marks(flags: list[bool]) -> npt.NDArray[np.bool_]:
        return np.array(flags, dtype=bool)[inverse]

    return _Scopes(
        {meaning: marks([one is not None and one.input is meaning for one in known]) for meaning in Meaning},
        {meaning: marks([one is not None and one.output is meaning for one in known]) for meaning in Meaning},
        marks([one is not None and one.sums_total for one in known]),
    )
