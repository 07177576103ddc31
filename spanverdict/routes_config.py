"""The section ``[routes]`` of the configuration: what a gateway knows that a report does not."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, FiniteFloat

from analytics.routes.model import GatewaySettings, ModelTarget
from spanverdict.price_config import Section

_SECRET = re.compile(r"key|secret|token|password|credential", re.IGNORECASE)
_REFERENCE = "os.environ/"
_COUNTS = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"})


def _check_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", text):
        raise ValueError("it is not a name of letters, digits, dashes and underscores")
    return text


def _check_header(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", text):
        raise ValueError("it is not the name of a header, such as x-cohort")
    return text


def _check_parameters(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters, if every one that sounds like a secret is a reference to one.

    Raises:
        ValueError: one is a value.
    """
    for name, value in parameters.items():
        if _SECRET.search(name) and name not in _COUNTS and not str(value).startswith(_REFERENCE):
            raise ValueError(f'{name} is a secret: name the environment variable that holds it, as "{_REFERENCE}NAME"')
        if isinstance(value, dict):
            _check_parameters(value)
    return parameters


def _check_steps(steps: tuple[float, ...]) -> tuple[float, ...]:
    if not steps or list(steps) != sorted(set(steps)) or not steps[0] > 0 or steps[-1] != 1:
        raise ValueError("the shares do not rise from above 0 to 1, such as [0.1, 0.5, 1.0]")
    return steps


Text = Annotated[str, Field(min_length=1)]


class RouteModelConfig(Section):
    """``[routes.models.NAME]``: how a gateway reaches one model."""

    name: Text | None = None
    litellm: Annotated[dict[str, Any], AfterValidator(_check_parameters)] = Field(default_factory=dict)
    provider: Text | None = None
    backend: Text | None = None
    port: Annotated[int, Field(ge=1, le=65535)] | None = None


class RoutesConfig(Section):
    """``[routes]``: how cohorts are known to the gateway, and how a candidate takes over."""

    model_name: Text | None = None
    cohort_key: Annotated[str, AfterValidator(_check_name)] = "cohort"
    header: Annotated[str, AfterValidator(_check_header)] | None = None
    policy: Literal["safe", "cost"] = "safe"
    steps: Annotated[tuple[FiniteFloat, ...], AfterValidator(_check_steps)] = (1.0,)
    mirror_rate: Annotated[FiniteFloat, Field(gt=0, le=1)] | None = None
    fallback: Text | None = None
    max_age_hours: Annotated[FiniteFloat, Field(gt=0)] = 48.0
    gateway: Text | None = None
    namespace: Text | None = None
    models: dict[str, RouteModelConfig] = Field(default_factory=dict)

    def gateway_settings(self, promotion: str) -> GatewaySettings:
        """What the formats need; applications ask for the promotion's name where no other is given."""
        targets = {
            model: ModelTarget(of.name or model, of.litellm, of.provider, of.backend, of.port)
            for model, of in self.models.items()
        }
        header = self.header or f"x-{self.cohort_key.replace('_', '-').lower()}"
        return GatewaySettings(
            self.model_name or promotion, self.cohort_key, header, targets, self.gateway, self.namespace
        )
