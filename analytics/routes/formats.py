"""The formats of route plans: written, read back, and known by their content."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from analytics.errors import InputError
from analytics.routes import as_agentcc, as_flagd, as_json, as_kubernetes, as_litellm
from analytics.routes.model import GatewaySettings, Present, Rendered, RoutePlan
from analytics.routes.yaml_text import documents

__all__ = ["FORMATS", "format_of", "read", "render"]


class _Format(NamedTuple):
    read: Callable[[str, str, GatewaySettings], Present]
    render: Callable[[RoutePlan, GatewaySettings, str | None], Rendered]


def _read_plan(text: str, promotion: str, _: GatewaySettings) -> Present:
    return as_json.read(text, promotion)


_FORMATS = {
    "json": _Format(_read_plan, as_json.render),
    "litellm": _Format(as_litellm.read, as_litellm.render),
    "flagd": _Format(as_flagd.read, as_flagd.render),
    "agentcc": _Format(as_agentcc.read, as_agentcc.render),
    "envoy": _Format(
        partial(as_kubernetes.read, kind=as_kubernetes.ENVOY), partial(as_kubernetes.render, kind=as_kubernetes.ENVOY)
    ),
    "gateway-api": _Format(
        partial(as_kubernetes.read, kind=as_kubernetes.GATEWAY_API),
        partial(as_kubernetes.render, kind=as_kubernetes.GATEWAY_API),
    ),
}

FORMATS = tuple(_FORMATS)
"""What a route plan can be written as."""


def render(plan: RoutePlan, form: str, settings: GatewaySettings, present: str | None = None) -> Rendered:
    """A gateway's configuration with the plan in it.

    Args:
        plan: the plan.
        form: one of :data:`FORMATS`.
        settings: what the gateway knows beside it.
        present: the present configuration, of which all that is not ours is kept; None writes a new one.

    Raises:
        InputError: the present configuration or the settings cannot be used.
    """
    if present is None:
        return _FORMATS[form].render(plan, settings, None)
    with _shapes_of(form):
        return _FORMATS[form].render(plan, settings, present)


def read(text: str, form: str, promotion: str, settings: GatewaySettings) -> Present:
    """What a gateway's configuration says of a promotion.

    Raises:
        InputError: it cannot be read.
    """
    with _shapes_of(form):
        return _FORMATS[form].read(text, promotion, settings)


@contextmanager
def _shapes_of(form: str) -> Iterator[None]:
    """What stands in a person's file where the format has something else is the file's fault."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"The present file is not a configuration of the format {form}: something stands where the format has "
            f"another kind of value ({type(error).__name__}: {error})."
        ) from error


def format_of(text: str, where: str, said: str | None = None) -> str:
    """The format that a configuration is in, by its content.

    Args:
        text: the configuration.
        where: what it is called.
        said: the format of one whose content does not tell, such as one without any models yet.

    Raises:
        InputError: it is in none of them.
    """
    found = next((form for form, known in _by_content(text, where) if known), said)
    if found is None:
        raise InputError(f"{where} is not a configuration that is known; name what it is with --format.")
    return found


def _by_content(text: str, where: str) -> list[tuple[str, bool]]:
    try:
        every: list[Any] = [json.loads(text)]
    except (ValueError, RecursionError):
        every = documents(text, where)
    maps = [document for document in every if isinstance(document, dict)]
    kinds = [document.get("kind") for document in maps]
    return [
        ("json", any(as_json.is_plan(document) for document in maps)),
        ("envoy", as_kubernetes.ENVOY.kind in kinds),
        ("gateway-api", as_kubernetes.GATEWAY_API.kind in kinds),
        ("flagd", any("flags" in document for document in maps)),
        ("litellm", any("model_list" in document for document in maps)),
        ("agentcc", any({"routing", "providers"} & document.keys() for document in maps)),
    ]
