"""The configuration: a TOML file, overridden by SPANVERDICT_* environment variables, overridden by options."""

from __future__ import annotations

import difflib
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

DEFAULT_FILE = "spanverdict.toml"

Address = Annotated[str, Field(pattern=r"^.+:\d{1,5}$")]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]


class ConfigError(Exception):
    """The configuration cannot be used; the message names the file and the key."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerConfig(_Section):
    """``[server]``: where the server listens and how much memory the database may take."""

    grpc: Address = "127.0.0.1:4317"
    sql: Address = "127.0.0.1:4319"
    memory_limit: Annotated[str, Field(pattern=r"^\d+(\.\d+)?\s?[KMGT]i?B$")] = "1GB"


class IngestConfig(_Section):
    """``[ingest]``: what may wait for a commit and how long a commit waits for company."""

    waiting_mib: Annotated[int, Field(gt=0)] = 256
    linger_ms: NotNegative = 20.0


class PriceConfig(_Section):
    """``[[prices]]``: the price of one model, in USD per million tokens, from a moment on."""

    model: str
    input_per_mtok: NotNegative
    output_per_mtok: NotNegative
    cache_read_per_mtok: NotNegative | None = None
    cache_write_per_mtok: NotNegative | None = None
    effective_from: datetime | None = None


class FeedbackConfig(_Section):
    """``[feedback]``: how feedback finds its trace."""

    key_attribute: str | None = None


class EvaluatorConfig(_Section):
    """``[evaluators.NAME]``: when a score of this evaluator passes, where it sends no label."""

    threshold: float
    higher_is: Literal["better", "worse"] = "better"


class MetricConfig(_Section):
    """``[metrics.NAME]``: what to change about one metric, or to register an outcome as one."""

    margin: Positive | None = None
    margin_kind: Literal["absolute", "relative"] | None = None
    maturity_hours: NotNegative | None = None
    higher_is: Literal["better", "worse"] | None = None
    weight: Positive | None = None


class ReportConfig(_Section):
    """``[report]``: the error rate, and which evaluators tell that an answer had to be repaired."""

    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    validation_evaluators: tuple[str, ...] = ("JSONValidation", "schema_validation")


class Config(BaseSettings):
    """Everything that can be configured; the keys are described in docs/configuration.md."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix="SPANVERDICT_", env_nested_delimiter="__")

    db: Path = Path("spanverdict.duckdb")
    server: ServerConfig = ServerConfig()
    ingest: IngestConfig = IngestConfig()
    prices: tuple[PriceConfig, ...] = ()
    feedback: FeedbackConfig = FeedbackConfig()
    evaluators: dict[str, EvaluatorConfig] = Field(default_factory=dict)
    metrics: dict[str, MetricConfig] = Field(default_factory=dict)
    report: ReportConfig = ReportConfig()

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
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise ConfigError(f"{path} cannot be read: {reason}.") from error
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{path} is not TOML: {error}.") from error
    try:
        return Config(**values)
    except ValidationError as error:
        raise ConfigError(_sentence(error, str(path) if path else "The environment")) from error


def _sentence(error: ValidationError, origin: str) -> str:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(first["loc"][:-1])
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known here are {', '.join(sorted(known))}."
        return f"{origin}: unknown key {key!r}; {hint}"
    return f"{origin}: {key!r} is {first['input']!r}, but {first['msg'][0].lower()}{first['msg'][1:]}."


def _known_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys that the section at ``location`` knows."""
    model: type[BaseModel] = Config
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None:
            continue
        candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), model)
    return list(model.model_fields)
