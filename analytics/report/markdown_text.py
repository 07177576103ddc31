"""Text and tables as GitHub-flavoured Markdown, in which nothing that was quoted acts."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

from analytics.report.text import NAME_LIMIT, name, visible

LIST_LIMIT = 6_000
"""Bytes of a list in a comment: what is longer is not read there."""

# Everything that starts a construct in CommonMark, GitHub's tables, autolinks, emoji or mathematics.
_CONSTRUCTS = re.compile(r"([\\`*_\[\]<>|~#!&${}])")
# GitHub notifies people, links issues and draws emoji after rendering, where a backslash no longer helps.
_REFERENCES = re.compile(r"(?<!\w)(\\?[@#])(?=\w)|(:)(?=[\w+-]*[a-z][\w+-]*:)")
_BARE_HOST = re.compile(r"\bwww\.", re.IGNORECASE)
_BACKTICKS = re.compile(r"`+")


def escape(text: str) -> str:
    """Write text so that Markdown shows it and does nothing else with it."""
    escaped = _CONSTRUCTS.sub(r"\\\1", text)
    escaped = _BARE_HOST.sub(lambda match: match[0][:-1] + "\\.", escaped)
    return _REFERENCES.sub("\\g<0>\u200b", escaped.replace("://", ":\\//"))


def code(text: str, limit: int = NAME_LIMIT) -> str:
    """Write a name as a code span of at most so many characters, which also holds in a table cell."""
    shown = visible(text, limit).replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in _BACKTICKS.findall(shown)), default=0))
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def code_in_html(text: str) -> str:
    """Write a name as code where Markdown is HTML already."""
    return f"<code>{html.escape(name(text))}</code>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table of cells that are Markdown already."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def folded(summary: str, body: str) -> str:
    """Fold a block away under a summary, which is HTML already."""
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def limited(lines: Sequence[str], limit: int = LIST_LIMIT) -> str:
    """The lines of a list as far as they fit so many bytes, and how many more there are."""
    used = 0
    kept: list[str] = []
    for line in lines:
        used += len(line.encode()) + 1
        if kept and used > limit:
            break
        kept.append(line)
    left = len(lines) - len(kept)
    return "\n".join([*kept, *([f"- … and {left:,} more"] if left else [])])
