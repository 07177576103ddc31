"""The sections of the configuration: what each key may be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, FiniteFloat, SecretStr, model_validator

from analytics.chain_rules import ChainRule, check_pattern
from analytics.defaults import ITEM_ATTRIBUTES, VALIDATION_EVALUATORS
from analytics.engine import check_engine
from collector.patterns import check_known, check_name
from spanverdict.price_config import Section
from sql.address import StoreAddress

LONGEST_MATURITY_HOURS = 87_600
"""Ten years: no label is waited for longer, and times stay within what timestamps hold."""

HASH_KEY_CHARACTERS = 16
"""The shortest key of content hashes: a shorter one is guessed."""


def check_address(text: str) -> str:
    """The address, if it is one.

    Raises:
        ValueError: it is not host:port.
    """
    found = re.fullmatch(r"(\S+):([0-9]{1,5})", text)
    if not found or int(found[2]) >= 2**16:
        raise ValueError("it is not host:port, such as 127.0.0.1:4317")
    return text


def _check_size(text: str) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)? ?[KMGT]i?B", text):
        raise ValueError("it is not a size, such as 512MB or 2GiB")
    return text


def _check_expression(text: str) -> str:
    from collector.masking import check_expression  # noqa: PLC0415 (few configurations need what it loads)

    return check_expression(text)


def _check_hash_key(key: SecretStr) -> SecretStr:
    if len(key.get_secret_value()) < HASH_KEY_CHARACTERS:
        raise ValueError(f"it has fewer than {HASH_KEY_CHARACTERS} characters")
    return key


def _check_sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", text):
        raise ValueError("it is not a SHA-256 in 64 hex digits, such as `spanverdict token new` prints")
    return text.lower()


def _check_origin(text: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#@*]+", text):
        raise ValueError("it is not the origin of pages, such as https://shop.example or http://localhost:3000")
    return text


Address = Annotated[str, AfterValidator(check_address)]
Sha256 = Annotated[str, AfterValidator(_check_sha256)]
Size = Annotated[str, AfterValidator(_check_size)]
Positive = Annotated[FiniteFloat, Field(gt=0)]
NotNegative = Annotated[FiniteFloat, Field(ge=0)]
Attribute = Annotated[str, Field(min_length=1)]
MaturityHours = Annotated[FiniteFloat, Field(ge=0, le=LONGEST_MATURITY_HOURS)]


class TlsConfig(Section):
    """``[server.tls]``: the certificate that OTLP is served with, and whose clients are let in."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class ServerConfig(Section):
    """``[server]``: where the server listens and how much memory the database may take."""

    grpc: Address = "127.0.0.1:4317"
    http: Address = "127.0.0.1:4318"
    max_request_mib: Annotated[int, Field(gt=0, lt=2048)] = 64
    tls: TlsConfig | None = None
    sql: Address = "127.0.0.1:4319"
    monitoring: Address = "127.0.0.1:4320"
    query_seconds: Positive = 600.0
    result_rows: Annotated[int, Field(gt=0)] = 10_000_000
    result_mib: Annotated[int, Field(gt=0)] = 2048
    queries_at_once: Annotated[int, Field(gt=0)] = 8
    memory_limit: Size | None = None
    derive_seconds: Positive = 10.0
    trace_hours: Annotated[float, Field(gt=0, le=8784)] = 48.0
    run_schedules: bool = True
    run_tasks: bool = True
    cors_origins: tuple[Annotated[str, AfterValidator(_check_origin)], ...] = ()
    pages: bool = True

    def memory_for(self, store: StoreAddress) -> str:
        """What the database may take: in a lake rows are written as Parquet files, where large values take more."""
        return self.memory_limit or ("256MB" if isinstance(store, Path) else "512MB")


class IngestConfig(Section):
    """``[ingest]``: what may wait for a commit and how long a commit waits for company."""

    waiting_mib: Annotated[int, Field(gt=0)] = 64
    backlog_mib: Annotated[int, Field(gt=0)] = 1024
    linger_ms: NotNegative | None = None
    reserve_mib: Annotated[int, Field(ge=0)] = 128


class ArchiveConfig(Section):
    """``[archive]``: when days leave the database for files."""

    enabled: bool = True
    after_days: NotNegative = 2.0
    least_rows: Annotated[int, Field(gt=0)] = 1000


class LakeConfig(Section):
    """``[lake]``: the upkeep of a shared store."""

    keep_minutes: Annotated[FiniteFloat, Field(ge=10)] = 60.0


ContentAction = Literal["keep", "truncate", "hash", "drop"]


class ContentConfig(Section):
    """``[content]``: what of prompts, completions and tool calls may be stored, and what is masked in all texts."""

    prompts: ContentAction = "keep"
    completions: ContentAction = "keep"
    tool_arguments: ContentAction = "keep"
    tool_results: ContentAction = "keep"
    attributes: tuple[str, ...] = ()
    truncate_characters: Annotated[int, Field(gt=0, lt=2**31)] = 2000
    hash_key: Annotated[SecretStr, AfterValidator(_check_hash_key)] | None = None
    patterns: tuple[Annotated[str, AfterValidator(check_known)], ...] = ()
    custom_patterns: dict[
        Annotated[str, AfterValidator(check_name)], Annotated[str, AfterValidator(_check_expression)]
    ] = Field(default_factory=dict)
    unmasked_attributes: tuple[str, ...] = ()


class TokenConfig(Section):
    """``[[tokens]]``: a sender, known by the hash of its token, and what its resources are known to be."""

    name: Annotated[str, Field(min_length=1)]
    sha256: Sha256
    attributes: dict[str, str] = Field(default_factory=dict)
    feedback_only: bool = False
    pages: bool = True


def check_tokens(tokens: tuple[TokenConfig, ...]) -> tuple[TokenConfig, ...]:
    """The tokens, if no two have one name or one hash.

    Raises:
        ValueError: two have.
    """
    for number, token in enumerate(tokens):
        for other in tokens[:number]:
            if other.name == token.name:
                raise ValueError(f"two have the name {token.name!r}")
            if other.sha256 == token.sha256:
                raise ValueError(f"{other.name!r} and {token.name!r} have the same sha256")
    return tokens


class FeedbackConfig(Section):
    """``[feedback]``: how feedback finds its trace."""

    key_attribute: str | None = None


class DatasetsConfig(Section):
    """``[datasets]``: where traces say which item of a data set they are a run of."""

    item_attributes: tuple[Annotated[str, Field(min_length=1)], ...] = ITEM_ATTRIBUTES


class EvaluatorConfig(Section):
    """``[evaluators.NAME]``: when a score without a label passes, what is expected, how long it is waited for."""

    threshold: FiniteFloat | None = None
    higher_is: Literal["better", "worse"] | None = None
    version: str | None = None
    judge_model: str | None = None
    maturity_hours: MaturityHours | None = None
    maturity: Literal["learned", "fixed"] | None = None


class OutcomeConfig(Section):
    """``[outcomes.NAME]``: whether more of an outcome is worse, and how long it is waited for."""

    higher_is: Literal["better", "worse"] | None = None
    maturity_hours: MaturityHours | None = None
    maturity: Literal["learned", "fixed"] | None = None


class MetricConfig(Section):
    """``[metrics.NAME]``: what to change about one metric, or to register an outcome as one."""

    margin: Positive | None = None
    margin_kind: Literal["absolute", "relative"] | None = None
    maturity_hours: MaturityHours | None = None
    higher_is: Literal["better", "worse"] | None = None
    weight: Positive | None = None


class ReportConfig(Section):
    """``[report]``: the error rate, and where traces say how an answer fared and under which conditions it was made."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    validation_evaluators: tuple[str, ...] = VALIDATION_EVALUATORS
    simulated: bool = False
    tool_schema_attribute: Attribute | None = None
    system_prompt_attribute: Attribute | None = None
    retrieval_version_attribute: Attribute | None = None
    keep_probability_attribute: Attribute | None = None
    request_attributes: tuple[Attribute, ...] = ()
    engine: Annotated[str, AfterValidator(check_engine)] | None = None


class CohortsConfig(Section):
    """``[cohorts]``: which small cohorts are taken together."""

    pool_below: Positive | None = None
    parents: dict[str, Annotated[str, Field(min_length=1)]] = Field(default_factory=dict)


class ChainRuleConfig(Section):
    """``[[chains.rules]]``: attributes in which the application says which calls are attempts, and why."""

    group_attribute: Annotated[str, Field(min_length=1)] | None = None
    when_attribute: Annotated[str, Field(min_length=1)] | None = None
    equals: str | None = None
    matches: Annotated[str, AfterValidator(check_pattern)] | None = None
    reason: Literal["retry", "fallback", "schema_repair", "none"] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        ChainRule(**self.model_dump())
        return self


class ChainsConfig(Section):
    """``[chains]``: what the application says about its attempts."""

    rules: tuple[ChainRuleConfig, ...] = ()
