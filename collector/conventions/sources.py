"""What a source of a column is: an attribute, or a member of the JSON in one, and how its value is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Convention(StrEnum):
    """The families of attribute names that are read."""

    OTEL = "OpenTelemetry GenAI"
    OTEL_OLDER = "OpenTelemetry GenAI, older names"
    ANTHROPIC_SDK = "Anthropic SDK"
    OPENINFERENCE = "OpenInference"
    OPENLLMETRY = "OpenLLMetry"
    OPENLLMETRY_OLDER = "OpenLLMetry, older names"
    TRACEAI = "traceAI"
    OPENLIT = "OpenLIT"
    VERCEL = "Vercel AI SDK"
    LANGFUSE = "Langfuse"
    MLFLOW = "MLflow"
    PYDANTIC = "Pydantic AI, Logfire"
    GOOGLE_ADK = "Google ADK"
    AGENT_COMMAND_CENTER = "Agent Command Center"
    LITELLM = "LiteLLM"
    PORTKEY = "Portkey"
    ENVOY = "Envoy"
    BIFROST = "Bifrost"
    NGROK = "ngrok AI gateway"
    CLOUDFLARE = "Cloudflare AI Gateway"
    HELICONE = "Helicone"
    CLAUDE_CODE = "Claude Code"
    APPLICATIONS = "applications"
    AZURE = "Azure AI Foundry"
    AGENTCORE = "Amazon Bedrock AgentCore"
    OPENSEARCH = "OpenSearch"
    GENERAL = "OpenTelemetry general"


class Reader(StrEnum):
    """How an attribute's value becomes the column's value."""

    TEXT = "text"
    LOWER_TEXT = "text in lower case"
    INTEGER = "count: an integer that is not negative"
    SIGNED = "integer"
    ONE_MORE = "count of what came after the first: one is added"
    NUMBER = "number"
    POSITIVE = "number, where zero means unknown"
    SUM = "sum of the members of a JSON object, where zero means unknown"
    BOOLEAN = "true or false"
    ANY_AT_ALL = "whether a count is above zero"
    PRESENT = "true where it is there"
    SECONDS = "seconds, stored as milliseconds"
    MILLISECONDS = "milliseconds"
    MOMENT = "ISO 8601 time"
    FINISH_REASONS = "finish reasons, by their canonical names"
    CLASS_NAME = "class name without its module"
    PROVIDER = "provider, by its canonical name"
    SPAN_KIND = "span kind, by its canonical name"
    OPERATION_ID = "operation id, without the function's id behind it"
    OPERATION_KIND = "span kind of an operation id"
    STREAMING_OPERATION = "whether an operation id is one that streams"
    SERVICE_TIER = "service tier, where auto means unknown"
    CACHE_STATUS = "whether a cache status is a hit"
    GUARDRAIL = "result of a guardrail; a flag reads triggered or passed"
    URL_HOST = "host of a URL"
    URL_PORT = "port of a URL"
    SCORE = "number; true is 1 and false is 0"
    PASSED = "whether it passed, as a label"
    ANNOTATOR = "who judged, by its canonical name, or as it is said"
    KNOWN_ANNOTATOR = "who judged, where it has a canonical name"
    DIRECTION = "whether a higher score is better or worse"
    HEX_ID = "hexadecimal id, in lower case"


SPAN_NAME = "the span's name"
"""Stands in the place of an attribute's name, for the value or for the condition."""

EVERY = "*"
"""In a path: every member of a list."""

INDEX = "{n}"
"""In an attribute's name: any index below INDEX_LIMIT."""

INDEX_LIMIT = 64
"""Indices that are looked at: nobody asks for more answers at once, and a sender may write any number."""


@dataclass(frozen=True)
class Source:
    """One place that may hold a column's value.

    Attributes:
        key: the attribute; with INDEX in it, all the attributes that it stands for make one list.
        convention: whose it is.
        reader: how the value is read.
        path: where in the attribute's JSON the value stands; empty for the attribute itself.
        when: another attribute, and what it has to hold (in lower case) for this source to count.
    """

    key: str
    convention: Convention
    reader: Reader
    path: tuple[str | int, ...] = ()
    when: tuple[str, str] | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The attributes that hold the value."""
        if self.key == SPAN_NAME:
            return ()
        if INDEX not in self.key:
            return (self.key,)
        return tuple(self.key.replace(INDEX, str(number)) for number in range(INDEX_LIMIT))

    @property
    def read_keys(self) -> tuple[str, ...]:
        """All attributes that are looked at."""
        return self.keys if self.when is None or self.when[0] == SPAN_NAME else (*self.keys, self.when[0])


@dataclass(frozen=True)
class Column:
    """One canonical column of the table `spans`.

    Attributes:
        kind: type of its values.
        meaning: what it says, for the documentation.
        unit: unit of its values.
        sources: where conventions put it, in order of precedence; empty where it is derived.
    """

    kind: pa.DataType
    meaning: str
    unit: str = ""
    sources: tuple[Source, ...] = ()


def attributes(convention: Convention, reader: Reader, *keys: str) -> tuple[Source, ...]:
    """Sources that are attributes of one convention."""
    return tuple(Source(key, convention, reader) for key in keys)


def members(convention: Convention, reader: Reader, key: str, *paths: str) -> tuple[Source, ...]:
    """Sources that are members of one attribute's JSON; a path's steps are joined by dots."""
    return tuple(Source(key, convention, reader, steps(path)) for path in paths)


def headers(convention: Convention, reader: Reader, *names: str) -> tuple[Source, ...]:
    """Sources that are response headers: copied as attributes, or as OpenTelemetry's HTTP conventions name them."""
    return tuple(
        source
        for name in names
        for source in (
            Source(f"http.response.header.{name}", convention, reader, (0,)),
            Source(f"http.response.header.{name}", convention, reader),
            Source(name, convention, reader),
        )
    )


def steps(path: str) -> tuple[str | int, ...]:
    """The steps of a path that is written with dots; numbers are places in a list."""
    return tuple(int(step) if step.isdigit() else step for step in path.split("."))


def keys_of(sources: Iterable[Source]) -> frozenset[str]:
    """All attributes that sources look at."""
    return frozenset(key for source in sources for key in source.read_keys)


Columns = Mapping[str, Column]
