"""Plans and gateways that the tests of routes share."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from analytics.routes.model import GatewaySettings, ModelTarget, Route, RoutePlan

BASE = "gpt-base"
CANDIDATE = "ft:gpt-base:acme::7q"
REPORT = "0123456789abcdef" * 2


class Plans:
    """Makes plans around cohorts and shares."""

    base = BASE
    candidate = CANDIDATE

    @staticmethod
    def plan(shares: dict[str, float], **changes: Any) -> RoutePlan:
        """A plan of these shares; the default route goes to the base."""
        mirror_rates = changes.pop("mirror_rates", {})
        routes = tuple(
            Route(cohort, share, mirror_rates.get(cohort), BASE if share else None, "promote", "As it is.")
            for cohort, share in sorted(shares.items())
        )
        fields = {
            "promotion": "refunds-v2",
            "base": BASE,
            "candidate": CANDIDATE,
            "policy": "safe",
            "report_id": REPORT,
            "as_of": datetime(2026, 11, 15),
            "steps": (1.0,),
            "stepped_by": None,
            "routes": routes,
            "default": Route(None, 0.0, None, None, None, "Everything else."),
        }
        return RoutePlan(**(fields | changes))

    @staticmethod
    def settings(**changes: Any) -> GatewaySettings:
        """A gateway that reaches both models."""
        fields: dict[str, Any] = {
            "model_name": "refunds",
            "cohort_key": "cohort",
            "header": "x-cohort",
            "models": {
                BASE: ModelTarget(
                    BASE, {"model": f"openai/{BASE}", "api_key": "os.environ/KEY"}, "openai", "base", 8000
                ),
                CANDIDATE: ModelTarget(
                    CANDIDATE, {"model": f"openai/{CANDIDATE}", "api_key": "os.environ/KEY"}, "tuned", "tuned", 8000
                ),
            },
            "gateway": "llm",
        }
        return GatewaySettings(**(fields | changes))


@pytest.fixture(scope="session")
def plans() -> Plans:
    """Makes plans."""
    return Plans()
