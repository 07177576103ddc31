"""What a model's name tells: that it is a fine-tuned one, and of which base."""

from __future__ import annotations

import re

# OpenAI "ft:base:org::id" and "davinci:ft-org-…", Mistral "ft:base:…", Azure "base.ft-job", names that say so in a part
# of their own; what Amazon Bedrock and Google host for one customer.
_FINE_TUNED = re.compile(
    r"(^|[:/._-])ft([:._-]|$)|fine-?_?tuned?"
    r"|:(custom-model|custom-model-deployment|imported-model|provisioned-model)/"
    r"|(^|/)tunedmodels/|/endpoints/[^/]+$",
    re.IGNORECASE,
)
_BASES = (
    re.compile(r"ft:([^:]+)(:|$)", re.IGNORECASE),
    re.compile(r"(.+)\.ft-[^./]+$", re.IGNORECASE),
    re.compile(r"([^:/]+):ft-.+", re.IGNORECASE),
    re.compile(r"arn:[^/]+:custom-model/(.+)/[^/]+$", re.IGNORECASE),
)
FINE_TUNED_PATTERN = f"(?i){_FINE_TUNED.pattern}"
"""The same rule as a regular expression of polars."""


def is_fine_tuned(model: str) -> bool:
    """Whether a model's name says that it is a fine-tuned one, or one hosted for one customer."""
    return _FINE_TUNED.search(model) is not None


def base_of(model: str) -> str | None:
    """The base that a fine-tuned model's name tells, such as ``gpt-4o-mini-2024-07-18``; None if it tells none."""
    matches = (pattern.match(model) for pattern in _BASES)
    return next((found[1] for found in matches if found), None)
