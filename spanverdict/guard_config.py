"""The sections ``[[guard]]`` of the configuration: promotions that are watched between reports."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from spanverdict.price_config import Section
from spanverdict.webhook_target import check_url, check_variable

_SHORTEST_SECONDS = 30


class GuardConfig(Section):
    """``[[guard]]``: one promotion, and who rolls it back."""

    promotion: Annotated[str, Field(min_length=1)]
    metrics: tuple[str, ...] = ()
    cohorts: tuple[str, ...] = ()
    every_seconds: Annotated[FiniteFloat, Field(ge=_SHORTEST_SECONDS, le=86_400)] = 900.0
    url: Annotated[str, AfterValidator(check_url)] | None = None
    url_env: Annotated[str, AfterValidator(check_variable)] | None = None
    secret_env: Annotated[str, AfterValidator(check_variable)] | None = None
    headers_env: Annotated[str, AfterValidator(check_variable)] | None = None
    timeout_seconds: Annotated[FiniteFloat, Field(gt=0, le=60)] = 10.0
    dry_run: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.url is not None and self.url_env is not None:
            raise ValueError(f"the guard of {self.promotion!r} has both url and url_env; give one of them")
        if self.secret_env is not None and not self.calls:
            raise ValueError(f"the guard of {self.promotion!r} has a secret_env and no url to sign for")
        return self

    @property
    def calls(self) -> bool:
        """Whether a webhook is called; without one, only alerts tell."""
        return self.url is not None or self.url_env is not None


def check_guards(entries: tuple[GuardConfig, ...]) -> tuple[GuardConfig, ...]:
    """The entries, if no two watch one promotion.

    Raises:
        ValueError: two do.
    """
    names = [entry.promotion for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two guards watch the promotion {name!r}; name all metrics in one")
    return entries
