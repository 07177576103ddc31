"""The sections ``[[evaluate]]`` of the configuration: evaluators that `spanverdict evaluate` runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from analytics.chain_rules import check_pattern
from analytics.evaluate.json_validation import NAME as JSON_VALIDATION
from analytics.evaluate.prompt import PLACEHOLDERS, placeholders
from analytics.evaluate.tool_selection import NAME as TOOL_SELECTION
from spanverdict.price_config import Section

Kind = Literal["json_validation", "tool_selection", "judge", "ai_evaluation", "installed"]

BUILT_IN: dict[str, Kind] = {JSON_VALIDATION: "json_validation", TOOL_SELECTION: "tool_selection"}
"""Evaluators that are there without being configured."""

_OWN_KEYS: dict[Kind, frozenset[str]] = {
    "json_validation": frozenset({"schemas", "tool_arguments"}),
    "tool_selection": frozenset({"rules", "order", "threshold", "dataset"}),
    "judge": frozenset(
        {
            *("base_url", "model", "api_key_env", "provider", "prompt", "lowest", "highest", "threshold", "higher_is"),
            *("level", "timeout_seconds", "retries", "concurrency", "max_output_tokens", "response_format"),
            *("parameters", "dataset"),
        }
    ),
    "ai_evaluation": frozenset(
        {"template", "engine", "model", "inputs", "threshold", "higher_is", "level", "concurrency", "dataset"}
    ),
    "installed": frozenset({"entry_point", "settings", "dataset"}),
}  # fmt: skip
"""Which keys each kind reads, beside name, kind and version."""

_NEEDED: dict[Kind, tuple[str, ...]] = {"judge": ("base_url", "model", "prompt"), "ai_evaluation": ("template",)}


def _check_base_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it is not an http or https URL, such as https://api.openai.com/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("it has a user, a password, a query or a fragment; a key belongs into api_key_env's variable")
    return text


def _check_variable(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("it is not the name of an environment variable")
    return text


def _check_prompt(text: str) -> str:
    if not placeholders(text) & {"output", "conversation", "tools"}:
        raise ValueError(f"it shows nothing to judge: use {{output}} or other of {', '.join(PLACEHOLDERS)}, in braces")
    return text


class ToolRuleConfig(Section):
    """``[[evaluate.rules]]``: which tools are expected of the traces that an attribute marks."""

    attribute: Annotated[str, Field(min_length=1)]
    tools: tuple[Annotated[str, Field(min_length=1)], ...]
    equals: str | None = None
    matches: Annotated[str, AfterValidator(check_pattern)] | None = None
    order: Literal["any", "exact"] = "any"


class EvaluateConfig(Section):
    """``[[evaluate]]``: one evaluator."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    kind: Kind | None = None
    version: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    level: Literal["call", "trace"] = "call"
    schemas: dict[str, dict[str, Any] | bool | Path] = Field(default_factory=dict)
    tool_arguments: bool = True
    rules: tuple[ToolRuleConfig, ...] = ()
    order: Literal["any", "exact"] = "any"
    dataset: str | None = None
    base_url: Annotated[str, AfterValidator(_check_base_url)] | None = None
    model: Annotated[str, Field(min_length=1)] | None = None
    api_key_env: Annotated[str, AfterValidator(_check_variable)] | None = None
    provider: str | None = None
    prompt: Annotated[str, AfterValidator(_check_prompt)] | None = None
    lowest: FiniteFloat = 0.0
    highest: FiniteFloat = 1.0
    threshold: FiniteFloat | None = None
    higher_is: Literal["better", "worse"] | None = None
    timeout_seconds: Annotated[FiniteFloat, Field(gt=0, le=600)] = 60.0
    retries: Annotated[int, Field(ge=0, le=10)] = 3
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    max_output_tokens: Annotated[int, Field(ge=1, le=100_000)] = 512
    response_format: Literal["json_object", "text"] = "json_object"
    parameters: dict[str, str | int | float | bool] = Field(default_factory=dict)
    template: Annotated[str, Field(min_length=1)] | None = None
    engine: Literal["local", "turing", "llm"] | None = None
    inputs: dict[str, str] = Field(default_factory=dict)
    entry_point: Annotated[str, Field(min_length=1)] | None = None
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Self:
        kind = self.kind_of()
        for key in _NEEDED.get(kind, ()):
            if getattr(self, key) is None:
                raise ValueError(f"{self.name!r} is a {kind} without {key}")
        foreign = self.model_fields_set - _OWN_KEYS[kind] - {"name", "kind", "version"}
        if foreign:
            raise ValueError(f"{self.name!r} is a {kind}, which does not read {', '.join(sorted(foreign))}")
        if not self.lowest < self.highest:
            raise ValueError(f"{self.name!r}: lowest is not below highest")
        return self

    def kind_of(self) -> Kind:
        """Its kind: as given, else that of the built-in evaluator of its name.

        Raises:
            ValueError: neither is there.
        """
        kind = self.kind or BUILT_IN.get(self.name)
        if kind is None:
            raise ValueError(
                f"{self.name!r} has no kind: judge, ai_evaluation, installed, json_validation, tool_selection"
            )
        return kind


def check_names(entries: tuple[EvaluateConfig, ...]) -> tuple[EvaluateConfig, ...]:
    """The entries, if no two have one name.

    Raises:
        ValueError: two have.
    """
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two have the name {name!r}")
    return entries
