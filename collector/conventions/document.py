"""What docs/data-model.md says of the canonical columns, written from the data that normalising applies.

python -m collector.conventions.document          writes it into the page
python -m collector.conventions.document --check  fails where the page says something else
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

from collector.content import BODIES, EVENTS, NAMES, PREFIXES, Content, Kinds
from collector.conventions.calls import FIRST_TOKEN_EVENTS, KEYS_OF_CARRIERS, KEYS_THAT_TELL_THE_KIND
from collector.conventions.columns import CANONICAL_COLUMNS, COUNT_OF_COLUMN, READ_COLUMNS
from collector.conventions.gateways import REPEAT_COLUMNS
from collector.conventions.settings import COST_PARTS, FILLED_IN
from collector.conventions.sources import SPAN_NAME, Column, Reader, Source
from collector.conventions.token_meaning import SCOPE_MEANINGS, ScopeMeaning
from collector.conventions.usage import USAGE_SETS, Count
from collector.tokens import CONFLICTS, INPUT_RULES, OUTPUT_RULES

PAGE = Path(__file__).parents[2] / "docs" / "data-model.md"
BEGIN = "<!-- Written by `make docs` from collector/conventions/: change it there. -->\n"
END = "<!-- End of what `make docs` writes. -->\n"

_CONVERTED = {
    Reader.SECONDS: "s",
    Reader.MOMENT: "a time",
    Reader.SUM: "sum of its members",
    Reader.ONE_MORE: "plus 1",
    Reader.ANY_AT_ALL: "if above 0",
    Reader.PRESENT: "if there",
    Reader.URL_HOST: "host",
    Reader.URL_PORT: "port",
    Reader.STREAMING_OPERATION: "if it streams",
}
"""Readers whose result a reader of the page would not expect."""


_PRECEDENCE = """\
In order of precedence; the first that has a usable value wins, and values of two conventions are never added. `a` → `b`
is the member `b` of the JSON in `a`, whether that is a text or a structure. A header is also read from
`http.response.header.<name>`."""

_SETS = """\
The counts of a span come from the set that has most of them; what that one lacks is taken from the others, in this
order."""

_TOTALS = """\
A total overrules a scope that is known to include: input plus output plus the cached tokens is a number that no other
reading gives. It only contradicts a scope that is known to exclude: input plus output is also what every emitter sends
that adds up its own two counts."""

_CONFLICT_HEAD = """\
**What contradicts what** (`token_conflict`); beside these, `<set> has another <count>` where two conventions in one
span tell different numbers:"""

_CONTENT = """\
Prompts, answers, tool arguments and tool results stay in `attributes`, `events` and log bodies as they were sent, as
far as the [content policy](redaction.md) lets them; no column holds them."""


def document() -> str:
    """What the page says between the two marks."""
    parts = [
        "### Canonical columns",
        _table(("column", "meaning", "unit"), _meanings()),
        "### Where each convention puts them",
        _PRECEDENCE,
        "\n".join(_places()),
        "### Token counts",
        _SETS,
        _table(("set", "its input", "its output", "counts"), _sets()),
        "**Which rule decided** (`token_rule`), in the order in which they are tried:",
        _list(f"`{rule}`" for rule in (*INPUT_RULES, *OUTPUT_RULES)),
        _TOTALS,
        _CONFLICT_HEAD,
        _list(f"`{code}`: {meaning}" for code, meaning in CONFLICTS.items()),
        "**What is known of scopes**; the first that holds decides:",
        _table(("scope", "provider", "version", "input", "output", "known from"), map(_scope, SCOPE_MEANINGS)),
        "### Where the content lies",
        _CONTENT,
        _table(("whose", "attribute", "what may be in it"), _contents()),
    ]
    return "\n\n".join(parts) + "\n"


def _meanings() -> Iterator[tuple[str, ...]]:
    for name, column in CANONICAL_COLUMNS.items():
        yield f"`{name}`", column.meaning, column.unit


def _places() -> Iterator[str]:
    for name, column in READ_COLUMNS.items():
        places = _by_convention(column.sources)
        yield f"- `{name}`: {'; '.join([*places, *_also(name)])}"


def _also(name: str) -> Iterator[str]:
    """What a column is read from beside its sources."""
    match name:
        case "gen_ai_span_kind":
            told = {
                kind: [key for key, of in KEYS_THAT_TELL_THE_KIND if of == kind] for _, kind in KEYS_THAT_TELL_THE_KIND
            }
            keys = ", ".join(f"{kind} by {_codes(names)}" for kind, names in told.items())
            yield f"else by attributes that only one kind has: {keys}; else LLM by a model"
            yield f"else EVALUATOR of a span with one link and one of {_codes(KEYS_OF_CARRIERS)}"
        case "error_type":
            yield "else `exception.type` of the last such span event"
        case "time_to_first_token_ms":
            yield f"else the first of the span events {_codes(FIRST_TOKEN_EVENTS)}"
        case "reported_cost_usd":
            yield f"else the sum of {_parts(COST_PARTS.values())}"
        case "gateway_attempts":
            yield f"else 1 plus {_parts(REPEAT_COLUMNS.values())}"
        case _:
            for scope, filled in FILLED_IN.items():
                if name in filled:
                    yield f"of `{scope}` the value {filled[name]:g} is unknown, as it fills that in itself"


def _parts(columns: Iterable[Column]) -> str:
    return " and ".join(f"{column.meaning} ({'; '.join(_by_convention(column.sources))})" for column in columns)


def _by_convention(sources: Sequence[Source]) -> list[str]:
    """The places of sources, those of one convention that follow one another together."""
    told = [source for source in sources if not source.key.startswith("http.response.header.")]
    return [
        f"{convention} {_listed(list(group))}"
        for convention, group in groupby(told, key=lambda source: source.convention)
    ]


def _listed(sources: Sequence[Source]) -> str:
    """Places one after the other; members of one attribute name it once."""
    places: list[str] = []
    before: Source | None = None
    for source in sources:
        again = before is not None and source.path and before.path and source.key == before.key
        place = _place(source)
        places.append(place.partition(" → ")[2] if again else place)
        before = source
    return ", ".join(places)


def _place(source: Source) -> str:
    place = SPAN_NAME if source.key == SPAN_NAME else f"`{source.key}`"
    if source.path:
        place += f" → `{'.'.join(map(str, source.path))}`"
    if source.reader in _CONVERTED:
        place += f" ({_CONVERTED[source.reader]})"
    if source.when is not None:
        key, value = source.when
        place += f" where {key if key == SPAN_NAME else f'`{key}`'} is `{value}`"
    return place


def _sets() -> Iterator[tuple[str, ...]]:
    columns = {count: name for name, counts in COUNT_OF_COLUMN.items() for count in counts}
    for usage in USAGE_SETS:
        counts = (f"{_count(count, columns)}: {_listed(sources)}" for count, sources in usage.counts.items() if sources)
        meaning = [
            f"{part} {what}" if part else "" for part, what in ((usage.input, "cache"), (usage.output, "reasoning"))
        ]
        name = f"{usage.name} (parts that add up)" if usage.additive else usage.name
        yield f"{name} (sums over the spans below)" if usage.aggregated else name, *meaning, "<br>".join(counts)


def _count(count: Count, columns: dict[Count, str]) -> str:
    plain = count in columns and count is not Count.CACHE_WRITE_5M
    return f"`{columns[count]}`" if plain else str(count)


def _scope(known: ScopeMeaning) -> tuple[str, ...]:
    version = " and ".join(
        f"{word} {'.'.join(map(str, number))}"
        for word, number in (("since", known.since), ("before", known.before))
        if number is not None
    )
    evidence = f"{known.evidence}; its total is its own sum" if known.sums_total else known.evidence
    return (
        f"`{known.scope}`",
        known.provider or "",
        version,
        f"{known.input} cache" if known.input else "",
        f"{known.output} reasoning" if known.output else "",
        evidence,
    )


def _contents() -> Iterator[tuple[str, ...]]:
    for whose, names in NAMES.items():
        for kinds, group in _grouped(names.items()):
            yield whose, _codes(group), kinds
    for kinds, group in _grouped(PREFIXES):
        yield "names that begin so", _codes(f"{prefix}*" for prefix in group), kinds
    for kinds, group in _grouped((*EVENTS.items(), *BODIES.items())):
        yield "span events and log records", _codes(group), kinds


def _grouped(names: Iterable[tuple[str, Kinds]]) -> Iterator[tuple[str, list[str]]]:
    """Names with the same kinds of content together, by these kinds in words."""
    found: dict[Kinds, list[str]] = {}
    for name, kinds in names:
        found.setdefault(kinds, []).append(name)
    for kinds, group in found.items():
        yield ", ".join(kind.replace("_", " ") for kind in Content if kind in kinds), group


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def rewritten(page: str) -> str:
    """A page with what stands between the marks written anew.

    Raises:
        ValueError: the marks are not both there.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page has no place for the columns: it needs the lines {BEGIN!r} and {END!r}.")
    return f"{before}{BEGIN}\n{document()}\n{END}{after}"


def main() -> None:
    """Write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page says something else")
    page = PAGE.read_text("utf-8")
    again = rewritten(page)
    if not parser.parse_args().check:
        PAGE.write_text(again, "utf-8")
    elif page != again:
        raise SystemExit("docs/data-model.md does not say what the data say: run `make docs`.")


if __name__ == "__main__":
    main()
