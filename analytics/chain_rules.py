"""The user's own rules for attempt chains: attributes in which an application says what a call is.

An application that repeats calls itself often knows best: it writes the number of the step, or why it asks
again, onto its spans. A rule names such an attribute.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

REASONS = ("retry", "fallback", "schema_repair")
NO_REASON = "none"


@dataclass(frozen=True)
class ChainRule:
    """What one or two attributes of a call's span, or of a wrapper of the call, say about its chain.

    Attributes:
        group_attribute: calls of one trace with the same value of it are one chain.
        when_attribute: the call is told by this attribute; it needs a ``reason``.
        equals: the value that it must have, as text; None asks for no certain value.
        matches: a regular expression that must be found in the value; None asks for none.
        reason: such a call answers the call before it: "retry", "fallback", "schema_repair"; or "none": it
            begins a chain of its own, whatever came before.

    Raises:
        ValueError: the rule says nothing, or two things at once; the message says what to give.
    """

    group_attribute: str | None = None
    when_attribute: str | None = None
    equals: str | None = None
    matches: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.group_attribute is None and self.when_attribute is None:
            raise ValueError("it names neither group_attribute nor when_attribute: give one of them")
        if (self.when_attribute is None) != (self.reason is None):
            raise ValueError("when_attribute and reason go together: give both or neither")
        if self.when_attribute is None and (self.equals is not None or self.matches is not None):
            raise ValueError("equals and matches tell a value of when_attribute: give that too")
        if self.equals is not None and self.matches is not None:
            raise ValueError("it has both equals and matches: keep one of them")
        if self.reason not in {None, NO_REASON, *REASONS}:
            raise ValueError(f"its reason {self.reason!r} is none of {', '.join(REASONS)}, {NO_REASON}")
        if self.matches is not None:
            check_pattern(self.matches)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes that the rule reads."""
        return tuple(name for name in (self.group_attribute, self.when_attribute) if name is not None)


def check_pattern(text: str) -> str:
    """The regular expression, if it is one that rules can be told by.

    Raises:
        ValueError: it is not one; the message says why.
    """
    import polars as pl  # noqa: PLC0415 (the configuration says rules, and loads nothing for having none)

    try:
        pl.Series([""]).str.contains(text)
    except pl.exceptions.ComputeError as error:
        told = re.findall(r"^(?:regex )?error: (?!regex parse)(.+?)\.?$", str(error), re.MULTILINE)
        raise ValueError(": ".join(["it is not a regular expression that can be searched for", *told])) from error
    return text


def rule_attributes(rules: Sequence[ChainRule]) -> tuple[str, ...]:
    """The attributes that rules read, each once: what ``chain_attributes`` of the spans holds, in this order."""
    return tuple(dict.fromkeys(name for rule in rules for name in rule.attributes))


def apply_rules(calls: pl.DataFrame, rules: Sequence[ChainRule]) -> pl.DataFrame:
    """Tell by the rules which calls belong together and why they were made.

    Args:
        calls: ``chain_attributes``: the values of :func:`rule_attributes` as text (null for absent), or null;
            ``attempt_group``: what a gateway says.
        rules: the first that holds for a call decides, for the group and for the reason each.

    Returns:
        The calls, with ``attempt_group`` of the rules before that of gateways, and ``stated_reason`` ("retry",
        "fallback", "schema_repair", "none"; null where no rule holds).
    """
    import polars as pl  # noqa: PLC0415 (as above)

    names = rule_attributes(rules)

    def value(name: str) -> pl.Expr:
        return pl.col("chain_attributes").list.get(names.index(name), null_on_oob=True)

    groups, reasons = [], []
    for number, rule in enumerate(rules):
        holds = pl.lit(value=True)
        if rule.when_attribute is not None:
            text = value(rule.when_attribute)
            holds = text.is_not_null()
            if rule.equals is not None:
                holds = text == rule.equals
            elif rule.matches is not None:
                holds = text.str.contains(rule.matches)
            reasons.append(pl.when(holds).then(pl.lit(rule.reason)))
        if rule.group_attribute is not None:
            group = value(rule.group_attribute)
            groups.append(pl.when(group != "").then(pl.concat_str(pl.lit(f"rule {number}: "), group)))
    no_text = pl.lit(None, dtype=pl.String)
    return calls.with_columns(
        attempt_group=pl.coalesce(*groups, "attempt_group", no_text),
        stated_reason=pl.coalesce(*reasons, no_text),
    )
