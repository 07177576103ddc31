"""The three services' telemetry: providers, the instrumentation each team chose, and its own spans around it.

Each service runs in a process of its own, because the instrumentations patch the same ``openai`` package.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, contextmanager
from random import Random
from typing import TYPE_CHECKING, Protocol

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator

from sample_traces.otlp_files import LogCollector, SpanCollector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    from sample_traces.plan import PlannedTrace
    from sample_traces.story import Service

APP_SCOPE = "northwind.support_app"


class Instrumentation(Protocol):
    """What one team wired into its service."""

    def request(self, trace: PlannedTrace) -> AbstractContextManager[object]:
        """Everything around the answering of one request, inside of the server span."""

    def retrieval(self, documents: tuple[str, str]) -> AbstractContextManager[object]:
        """The search for policy excerpts."""

    def tool(self, name: str, call_id: str) -> AbstractContextManager[object]:
        """The run of a tool that the model asked for."""


class SeededIds(IdGenerator):
    """Trace ids as planned, span ids drawn from the trace id: the same on every run."""

    def __init__(self) -> None:
        self._trace_id = 0
        self._rng = Random(0)

    def begin(self, trace_id: str) -> None:
        """The ids to come belong to this trace."""
        self._trace_id = int(trace_id, 16)
        self._rng = Random(f"spans/{trace_id}")

    def generate_trace_id(self) -> int:
        """The planned id."""
        return self._trace_id

    def generate_span_id(self) -> int:
        """64 random bits, not all zero."""
        return self._rng.getrandbits(64) or 1


class ModelCallWatcher(SpanProcessor):
    """Remembers the span of the last model call, so that the app can say what it thinks of the answer."""

    def __init__(self) -> None:
        self.last: SpanContext | None = None

    def on_end(self, span: ReadableSpan) -> None:
        """Keep the span's ids if an instrumentation made it for a model call."""
        attributes = span.attributes or {}
        if attributes.get("gen_ai.operation.name") == "chat" or attributes.get("openinference.span.kind") == "LLM":
            self.last = span.context


class Telemetry:
    """Tracer and logger provider of one service, collecting what they export."""

    def __init__(self, service: Service) -> None:
        resource = Resource.create(
            {
                "service.name": service.name,
                "service.version": service.version,
                "service.instance.id": f"{service.name}-0",
                "deployment.environment.name": "production",
            }
        )
        self.ids = SeededIds()
        self.spans = SpanCollector()
        self.logs = LogCollector()
        self.model_calls = ModelCallWatcher()
        self.tracer_provider = TracerProvider(resource=resource, id_generator=self.ids, shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(self.model_calls)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.spans))
        self.logger_provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        self.logger_provider.add_log_record_processor(SimpleLogRecordProcessor(self.logs))
        self.app_tracer = self.tracer_provider.get_tracer(APP_SCOPE, service.version)


def instrument(service: Service, telemetry: Telemetry) -> Instrumentation:
    """Switch on the service's instrumentation of ``openai``; once per process, before a client is made."""
    made: dict[str, type[OTelGenAI | OpenInference | OpenLLMetry]] = {
        "otel_genai": OTelGenAI,
        "openinference": OpenInference,
        "openllmetry": OpenLLMetry,
    }
    return made[service.convention](telemetry)


class OTelGenAI:
    """OpenTelemetry's own GenAI instrumentation on the newest conventions; no content, as is its default."""

    def __init__(self, telemetry: Telemetry) -> None:
        from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor  # noqa: PLC0415
        from opentelemetry.util.genai.handler import TelemetryHandler  # noqa: PLC0415

        OpenAIInstrumentor().instrument(
            tracer_provider=telemetry.tracer_provider, logger_provider=telemetry.logger_provider
        )
        self._handler = TelemetryHandler(
            tracer_provider=telemetry.tracer_provider, logger_provider=telemetry.logger_provider
        )

    def request(self, trace: PlannedTrace) -> AbstractContextManager[object]:
        """A workflow span; it hands the conversation's id on to the model calls inside."""
        return self._handler.workflow("answer_customer", conversation_id=trace.conversation_id)

    @contextmanager
    def retrieval(self, documents: tuple[str, str]) -> Iterator[None]:
        """A retrieval span."""
        with self._handler.retrieval(data_source_id="policy-handbook") as invocation:
            invocation.top_k = len(documents)
            yield

    @contextmanager
    def tool(self, name: str, call_id: str) -> Iterator[None]:
        """A tool span."""
        with self._handler.tool(name, tool_type="function") as invocation:
            invocation.tool_call_id = call_id
            yield


class OpenInference:
    """OpenInference with its defaults: session and user on every span, texts of messages included."""

    def __init__(self, telemetry: Telemetry) -> None:
        from openinference.instrumentation import OITracer, TraceConfig  # noqa: PLC0415
        from openinference.instrumentation.openai import OpenAIInstrumentor  # noqa: PLC0415

        OpenAIInstrumentor().instrument(tracer_provider=telemetry.tracer_provider)
        self._tracer = OITracer(telemetry.app_tracer, config=TraceConfig())

    def request(self, trace: PlannedTrace) -> AbstractContextManager[object]:
        """Session and user for all spans inside."""
        from openinference.instrumentation import using_session, using_user  # noqa: PLC0415

        scope = ExitStack()
        scope.enter_context(using_session(trace.conversation_id))
        scope.enter_context(using_user(trace.user_id))
        return scope

    @contextmanager
    def retrieval(self, documents: tuple[str, str]) -> Iterator[None]:
        """A RETRIEVER span that names the documents."""
        with self._tracer.start_as_current_span("search_policy", openinference_span_kind="retriever") as span:
            yield
            for rank, document in enumerate(documents):
                span.set_attribute(f"retrieval.documents.{rank}.document.id", document)

    @contextmanager
    def tool(self, name: str, call_id: str) -> Iterator[None]:
        """A TOOL span."""
        with self._tracer.start_as_current_span(name, openinference_span_kind="tool") as span:
            span.set_attribute("tool.name", name)
            span.set_attribute("tool.id", call_id)
            yield


class OpenLLMetry:
    """Traceloop's OpenLLMetry with its defaults: texts of messages included."""

    def __init__(self, telemetry: Telemetry) -> None:
        from opentelemetry.instrumentation.openai import OpenAIInstrumentor  # noqa: PLC0415

        OpenAIInstrumentor().instrument(tracer_provider=telemetry.tracer_provider)
        self._tracer = telemetry.app_tracer

    def request(self, trace: PlannedTrace) -> AbstractContextManager[object]:  # noqa: ARG002 (the protocol's)
        """Nothing: the server span carries what this service says of a request."""
        return ExitStack()

    @contextmanager
    def retrieval(self, documents: tuple[str, str]) -> Iterator[None]:
        """A task span as Traceloop's decorators write it."""
        attributes = {"traceloop.span.kind": "task", "traceloop.entity.name": "search_policy"}
        with self._tracer.start_as_current_span("search_policy.task", attributes=attributes) as span:
            yield
            span.set_attribute("app.retrieval.document_ids", documents)

    @contextmanager
    def tool(self, name: str, call_id: str) -> Iterator[None]:
        """A tool span as Traceloop's decorators write it."""
        attributes = {
            "traceloop.span.kind": "tool",
            "traceloop.entity.name": name,
            "gen_ai.tool.call.id": call_id,
        }
        with self._tracer.start_as_current_span(f"{name}.tool", attributes=attributes):
            yield
