"""The configuration: a TOML file, overridden by SPANVERDICT_* environment variables, overridden by options."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    FiniteFloat,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from analytics.chain_rules import ChainRule, check_pattern
from analytics.defaults import ITEM_ATTRIBUTES, VALIDATION_EVALUATORS
from collector.patterns import check_known, check_name
from spanverdict.evaluate_config import EvaluateConfig, check_names
from spanverdict.price_config import CostsConfig, Currency, ExchangeRates, PriceConfig, Section

DEFAULT_FILE = "spanverdict.toml"

_KINDS = {
    "model_type": "it should be a table",
    "dict_type": "it should be a table",
    "tuple_type": "it should be an array",
    "path_type": "it should be a path",
}
"""What pydantic expects, in TOML's words."""

LONGEST_MATURITY_HOURS = 87_600
"""Ten years: no label is waited for longer, and times stay within what timestamps hold."""

HASH_KEY_CHARACTERS = 16
"""The shortest key of content hashes: a shorter one is guessed."""

_SECRETS = frozenset({"hash_key", "api_key_env", "base_url"})
"""Keys whose value no message shows."""

_PREFIX = "SPANVERDICT_"
_DELIMITER = "__"


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


class ConfigError(Exception):
    """The configuration cannot be used; the message names the file and the key."""


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
    memory_limit: Size = "256MB"
    derive_seconds: Positive = 10.0
    cors_origins: tuple[Annotated[str, AfterValidator(_check_origin)], ...] = ()


class IngestConfig(Section):
    """``[ingest]``: what may wait for a commit and how long a commit waits for company."""

    waiting_mib: Annotated[int, Field(gt=0)] = 64
    backlog_mib: Annotated[int, Field(gt=0)] = 1024
    linger_ms: NotNegative = 20.0
    reserve_mib: Annotated[int, Field(ge=0)] = 128


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


def _check_tokens(tokens: tuple[TokenConfig, ...]) -> tuple[TokenConfig, ...]:
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


class Config(BaseSettings):
    """Everything that can be configured; the keys are described in docs/configuration.md."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix=_PREFIX, env_nested_delimiter=_DELIMITER)

    db: Path = Path("spanverdict.duckdb")
    server: ServerConfig = ServerConfig()
    ingest: IngestConfig = IngestConfig()
    content: ContentConfig = ContentConfig()
    tokens: Annotated[tuple[TokenConfig, ...], AfterValidator(_check_tokens)] = ()
    prices: tuple[PriceConfig, ...] = ()
    exchange_rates: dict[Currency, ExchangeRates] = Field(default_factory=dict)
    costs: CostsConfig = CostsConfig()
    feedback: FeedbackConfig = FeedbackConfig()
    datasets: DatasetsConfig = DatasetsConfig()
    evaluators: dict[str, EvaluatorConfig] = Field(default_factory=dict)
    outcomes: dict[str, OutcomeConfig] = Field(default_factory=dict)
    metrics: dict[str, MetricConfig] = Field(default_factory=dict)
    report: ReportConfig = ReportConfig()
    cohorts: CohortsConfig = CohortsConfig()
    chains: ChainsConfig = ChainsConfig()
    evaluate: Annotated[tuple[EvaluateConfig, ...], AfterValidator(check_names)] = ()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (the library's signature)
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment variables win over the file; nothing else is read."""
        return env_settings, init_settings


def load(path: Path | None) -> Config:
    """Read the configuration.

    Args:
        path: the TOML file; None takes ``spanverdict.toml`` of the working directory if it is there.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has a key or a value that is not known.
    """
    if path is None:
        path = Path(DEFAULT_FILE) if Path(DEFAULT_FILE).exists() else None
    values = _read(path) if path else {}
    # pydantic-settings takes arguments that begin with an underscore for its own, and passes unknown variables over.
    for key in sorted(values.keys() - Config.model_fields.keys()):
        raise ConfigError(_unknown(str(path), (key,)))
    for variable in sorted(os.environ):
        location = _location(variable)
        if len(location) > 1 and location[0] not in Config.model_fields:
            raise ConfigError(_unknown(f"The environment variable {variable}", location[:1]))
    try:
        return Config(**values)
    except ValidationError as error:
        raise ConfigError(_sentence(error, str(path))) from error
    except SettingsError as error:
        raise ConfigError(f"The environment: {error}; a whole section is given as a JSON object.") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} cannot be read: it is not UTF-8 text.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}.") from error
    except RecursionError as error:
        raise ConfigError(f"{path} is not a configuration: it is nested too deeply.") from error


def _sentence(error: ValidationError, file: str) -> str:
    # A key that is misspelled explains one that is missing.
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    location = first["loc"]
    variable = _variable(location)
    origin = f"The environment variable {variable}" if variable else file
    key = ".".join(str(part) for part in location)
    if first["type"] == "extra_forbidden":
        return _unknown(origin, location)
    if first["type"] == "missing":
        return f"{origin}: {key!r} is missing."
    message = _KINDS.get(first["type"], first["msg"].removeprefix("Value error, ")).removesuffix(".")
    whole_entry = location[0] in ("prices", "evaluate") and isinstance(first["input"], dict | list | tuple)
    if location[0] == "tokens" or location[-1] in _SECRETS or whole_entry:
        # What stands there may be a secret, a token that was meant to be a hash, or a whole entry: it is not repeated.
        return f"{origin}: {key!r} cannot be used: {message[0].lower()}{message[1:]}."
    return f"{origin}: {key!r} is {first['input']!r}, but {message[0].lower()}{message[1:]}."


def _unknown(origin: str, location: Sequence[int | str]) -> str:
    key = ".".join(str(part) for part in location)
    known = _known_keys(location[:-1])
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known here are {', '.join(sorted(known))}."
    return f"{origin}: unknown key {key!r}; {hint}"


def _location(variable: str) -> tuple[str, ...]:
    """The key that an environment variable sets; empty if it is not ours."""
    if not variable.upper().startswith(_PREFIX):
        return ()
    return tuple(variable[len(_PREFIX) :].lower().split(_DELIMITER))


def _variable(location: Sequence[int | str]) -> str | None:
    """The environment variable that sets a key or a part of it, if there is one."""
    key = tuple(str(part).lower() for part in location)
    found = (name for name in sorted(os.environ) if (own := _location(name)) and own == key[: len(own)])
    return next(found, None)


def _known_keys(location: Sequence[int | str]) -> list[str]:
    """The keys that the section at ``location`` knows."""
    model: type[BaseModel] = Config
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        model = _section_in(field.annotation) or model
    return list(model.model_fields)


def _section_in(annotation: object) -> type[BaseModel] | None:
    """The section that a field's type holds, however deep."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_section_in(part) for part in getattr(annotation, "__args__", ()))
    return next((section for section in found if section is not None), None)
