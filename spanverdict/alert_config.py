"""The sections ``[[alerts]]`` of the configuration: who is told of what, and how."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from analytics.alerts.change import Change
from spanverdict.price_config import Section
from spanverdict.webhook_target import check_url, check_variable

Kind = Literal["slack", "webhook", "email", "opentelemetry"]

_DEFAULT_ON = (
    Change.REGRESSED,
    Change.RESOLVED,
    Change.INVALID,
    Change.DECISION,
    Change.FAILED_RUN,
    Change.GUARD,
)

_TARGET = frozenset({"url", "url_env"})
_SHARED = frozenset(
    {"name", "kind", "promotions", "cohorts", "metrics", "on", "dry_run", "base_url", "timeout_seconds"}
)
_OWN_KEYS: dict[Kind, frozenset[str]] = {
    "slack": _TARGET,
    "webhook": _TARGET | {"secret_env", "headers_env"},
    "email": frozenset({"host", "port", "security", "user", "password_env", "sender", "recipients"}),
    "opentelemetry": _TARGET | {"protocol", "headers_env"},
}
"""Which keys each kind reads, beside those that all read."""

_NEEDED: dict[Kind, tuple[str, ...]] = {"email": ("host", "sender", "recipients")}


def _check_address(text: str) -> str:
    # What matters is that no address can end a header line, or be taken for two.
    if not re.fullmatch(r"[^\s\x00-\x1f\x7f@<>,;:\"()\\]+@[^\s\x00-\x1f\x7f@<>,;:\"()\\]+", text):
        raise ValueError("it is not an address, such as on-call@example.com")
    return text


def _check_host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.\-_:]+", text):
        raise ValueError("it is not the name or address of a host")
    return text


Url = Annotated[str, AfterValidator(check_url)]
Variable = Annotated[str, AfterValidator(check_variable)]
Address = Annotated[str, AfterValidator(_check_address)]


class AlertConfig(Section):
    """``[[alerts]]``: one channel."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    kind: Kind
    promotions: tuple[str, ...] = ()
    cohorts: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    on: Annotated[tuple[Change, ...], Field(min_length=1)] = _DEFAULT_ON
    dry_run: bool = False
    base_url: Url | None = None
    timeout_seconds: Annotated[FiniteFloat, Field(gt=0, le=60)] = 10.0
    url: Url | None = None
    url_env: Variable | None = None
    secret_env: Variable | None = None
    headers_env: Variable | None = None
    protocol: Literal["http", "grpc"] = "http"
    host: Annotated[str, AfterValidator(_check_host)] | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: Annotated[str, Field(min_length=1)] | None = None
    password_env: Variable | None = None
    sender: Address | None = None
    recipients: tuple[Address, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        foreign = self.model_fields_set - _OWN_KEYS[self.kind] - _SHARED
        if foreign:
            raise ValueError(
                f"{self.name!r} is of the kind {self.kind}, which does not read {', '.join(sorted(foreign))}"
            )
        if self.kind != "email" and (self.url is None) == (self.url_env is None):
            raise ValueError(f"{self.name!r} needs either url, or url_env with the variable that holds it")
        for key in _NEEDED.get(self.kind, ()):
            if not getattr(self, key):
                raise ValueError(f"{self.name!r} is of the kind {self.kind} and has no {key}")
        if (self.user is None) != (self.password_env is None):
            raise ValueError(f"{self.name!r} needs both user and password_env, or neither")
        if self.password_env is not None and self.security == "none":
            raise ValueError(f"{self.name!r} would send its password in the clear; set security to starttls or tls")
        return self


def check_channels(entries: tuple[AlertConfig, ...]) -> tuple[AlertConfig, ...]:
    """The entries, if no two have one name.

    Raises:
        ValueError: two have.
    """
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two channels have the name {name!r}")
    return entries
