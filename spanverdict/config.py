"""The configuration: a TOML file, overridden by SPANVERDICT_* environment variables, overridden by options."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, PlainValidator, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from spanverdict.alert_config import AlertConfig, check_channels
from spanverdict.config_sections import (
    ArchiveConfig,
    ChainsConfig,
    CohortsConfig,
    ContentConfig,
    DatasetsConfig,
    EvaluatorConfig,
    FeedbackConfig,
    IngestConfig,
    LakeConfig,
    MetricConfig,
    OutcomeConfig,
    ReportConfig,
    ServerConfig,
    TokenConfig,
    check_tokens,
)
from spanverdict.evaluate_config import EvaluateConfig, check_names
from spanverdict.guard_config import GuardConfig, check_guards
from spanverdict.price_config import CostsConfig, Currency, ExchangeRates, PriceConfig
from spanverdict.retention_config import RetentionConfig
from spanverdict.routes_config import RoutesConfig
from spanverdict.schedule_config import ScheduleConfig, check_schedules
from sql.address import StoreAddress, store_address

DEFAULT_FILE = "spanverdict.toml"

_KINDS = {
    "model_type": "it should be a table",
    "dict_type": "it should be a table",
    "tuple_type": "it should be an array",
    "path_type": "it should be a path",
}
"""What pydantic expects, in TOML's words."""

_SECRETS = frozenset(
    {"hash_key", "api_key_env", "base_url", "url", "url_env", "secret_env", "headers_env", "password_env"}
)
"""Keys whose value no message shows."""

_PREFIX = "SPANVERDICT_"
_DELIMITER = "__"


class ConfigError(Exception):
    """The configuration cannot be used; the message names the file and the key."""


def _read_address(value: object) -> StoreAddress:
    if not isinstance(value, str | Path):
        raise ValueError("it should be a path, or ducklake:… for a shared store")  # noqa: TRY004 (pydantic's way)
    return store_address(value)


class Config(BaseSettings):
    """Everything that can be configured; the keys are described in docs/configuration.md."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix=_PREFIX, env_nested_delimiter=_DELIMITER)

    db: Annotated[StoreAddress, PlainValidator(_read_address)] = Path("spanverdict.duckdb")
    server: ServerConfig = ServerConfig()
    ingest: IngestConfig = IngestConfig()
    archive: ArchiveConfig = ArchiveConfig()
    lake: LakeConfig = LakeConfig()
    content: ContentConfig = ContentConfig()
    tokens: Annotated[tuple[TokenConfig, ...], AfterValidator(check_tokens)] = ()
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
    schedule: Annotated[tuple[ScheduleConfig, ...], AfterValidator(check_schedules)] = ()
    alerts: Annotated[tuple[AlertConfig, ...], AfterValidator(check_channels)] = ()
    guard: Annotated[tuple[GuardConfig, ...], AfterValidator(check_guards)] = ()
    routes: RoutesConfig = RoutesConfig()
    retention: RetentionConfig = RetentionConfig()

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
    of_whole_entries = location[0] in ("prices", "evaluate", "schedule", "alerts", "guard", "routes")
    whole_entry = of_whole_entries and isinstance(first["input"], dict | list | tuple)
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
