"""The support assistant: retrieves policy, asks the model, validates the answer, repairs it and retries.

This is the application under observation. How a request goes is decided by what the stand-in provider
answers: the app retries, runs the tool it is asked for, and repairs what fails its schema. Evaluators score
the finished answer some minutes later.
"""

from __future__ import annotations

import json
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import httpx2
import openai
from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    set_span_in_context,
)

from sample_traces import story, texts
from sample_traces.clock import SimulatedClock
from sample_traces.otlp_files import write_logs, write_traces
from sample_traces.plan import PlannedTrace, response_id
from sample_traces.services import APP_SCOPE, Telemetry, instrument
from sample_traces.stand_in import LoopbackTransport, Reply, StandIn

if TYPE_CHECKING:
    from pathlib import Path

    from opentelemetry.util.types import AnyValue

    from sample_traces.plan import ModelCall

_JUDGES_VERSION = "3.2.0"
_SCHEMA_VERSION = "5"
_TOOL = "lookup_transaction"
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": _TOOL,
            "description": "Look up a card transaction.",
            "parameters": {
                "type": "object",
                "properties": {"ticket": {"type": "string"}},
                "required": ["ticket"],
            },
        },
    }
]


def run_service(service: story.Service, traces: list[PlannedTrace], out: Path) -> None:
    """Serve all traces of one service in simulated time and write its two OTLP files into ``out``."""
    with SimulatedClock(story.BEFORE_FROM) as clock, StandIn(clock) as provider:
        telemetry = Telemetry(service)
        app = SupportApp(service, telemetry, clock, provider)
        for trace in traces:
            app.serve(trace)
    write_traces(out / f"{service.name}.traces.jsonl.gz", telemetry.spans.spans)
    write_logs(out / f"{service.name}.logs.jsonl.gz", telemetry.logs.records)


class SupportApp:
    """One service of the assistant with its instrumentation switched on."""

    def __init__(self, service: story.Service, telemetry: Telemetry, clock: SimulatedClock, provider: StandIn) -> None:
        self._service = service
        self._telemetry = telemetry
        self._clock = clock
        self._provider = provider
        self._instrumentation = instrument(service, telemetry)
        self._tracer = telemetry.app_tracer
        self._logger = telemetry.logger_provider.get_logger(APP_SCOPE, service.version)
        self._judges = telemetry.logger_provider.get_logger("northwind.evaluators", _JUDGES_VERSION)
        self._client = openai.OpenAI(
            api_key="not-a-real-key",
            max_retries=0,
            http_client=httpx2.Client(transport=LoopbackTransport(provider.port)),
        )

    def serve(self, trace: PlannedTrace) -> None:
        """Handle one request from the customer's question to the evaluators' scores."""
        self._clock.move_to(trace.start)
        self._telemetry.ids.begin(trace.trace_id)
        self._provider.script.clear()
        self._provider.script.extend(
            Reply(call, response_id(trace.trace_id, number), _message(trace, call))
            for number, call in enumerate(trace.draw.calls)
        )
        with self._tracer.start_as_current_span(
            "support.answer", kind=SpanKind.SERVER, attributes=self._request_attributes(trace)
        ) as root:
            self._clock.advance(story.BEFORE_WORK_S)
            answered = self._handle(trace, root)
            self._clock.advance(story.AFTER_WORK_S)
        if self._provider.script:
            raise RuntimeError(f"trace {trace.trace_id}: {len(self._provider.script)} planned calls were not asked for")
        if answered is not None:
            self._evaluate(trace, root.get_span_context(), answered)

    def _request_attributes(self, trace: PlannedTrace) -> dict[str, str]:
        cohort = story.COHORTS[trace.cohort]
        conversation = "session.id" if self._service.convention == "openinference" else "gen_ai.conversation.id"
        return {
            "app.cohort": trace.cohort,
            "app.channel": self._service.channel,
            "user.id": trace.user_id,
            conversation: trace.conversation_id,
            "ticket.id": trace.ticket_id,
            "gen_ai.prompt.name": cohort.prompt_name,
            "gen_ai.prompt.version": cohort.prompt_version,
        }

    def _handle(self, trace: PlannedTrace, root: Span) -> SpanContext | None:
        """The request itself; returns the span of the answering model call, None if there is no answer."""
        with self._instrumentation.request(trace):
            documents = texts.excerpt_ids(trace.cohort, trace.text_variant)
            with self._instrumentation.retrieval(documents):
                self._clock.advance(trace.draw.retrieval_s)
            try:
                return self._converse(trace, documents)
            except openai.APIStatusError as error:
                root.set_attribute("error.type", type(error).__name__)
                root.set_status(Status(StatusCode.ERROR, "the model could not be reached"))
                return None

    def _converse(self, trace: PlannedTrace, documents: tuple[str, str]) -> SpanContext:
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": f"{texts.SYSTEM_PROMPT} Excerpts: {', '.join(documents)}."},
            {"role": "user", "content": texts.question(trace.cohort, trace.text_variant)},
        ]
        tools = _TOOLS if trace.draw.calls[0].purpose == "tool" else None
        reply = self._ask(trace, messages, tools)
        if reply.tool_calls:
            call = reply.tool_calls[0]
            with self._instrumentation.tool(call.function.name, call.id):
                self._clock.advance(story.TOOL_RUN_S)
            messages += [
                {"role": "assistant", "tool_calls": [call.to_dict()]},
                {"role": "tool", "tool_call_id": call.id, "content": '{"status": "settled"}'},
            ]
            reply = self._ask(trace, messages, tools)
        answered = self._last_call()
        fields: dict[str, Any] = json.loads(reply.content or "{}")
        while problem := texts.schema_problem(fields):
            self._validated(problem)
            repair = [
                {"role": "system", "content": texts.REPAIR_PROMPT.format(problem=problem)},
                {"role": "user", "content": json.dumps({**fields, "answer": "..."})},
            ]
            fields |= json.loads(self._ask(trace, repair, None).content or "{}")
        self._validated(None)
        return answered

    def _ask(self, trace: PlannedTrace, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None) -> Any:  # noqa: ANN401 (the client's message type, used as such)
        """One model call; a call that fails is made once more."""
        request: dict[str, Any] = {
            "model": story.MODELS[trace.arm],
            "messages": messages,
            "temperature": 0.2,
            "max_tokens": 400,
            "response_format": {"type": "json_object"},
        }
        if tools:
            request["tools"] = tools
        try:
            completion = self._client.chat.completions.create(**request)
        except (openai.RateLimitError, openai.InternalServerError):
            self._clock.advance(story.RETRY_PAUSE_S)
            completion = self._client.chat.completions.create(**request)
        return completion.choices[0].message

    def _last_call(self) -> SpanContext:
        span = self._telemetry.model_calls.last
        if span is None:
            raise RuntimeError("the instrumentation made no span for the model call")
        return span

    def _validated(self, problem: str | None) -> None:
        """Record on the last model call's span whether its answer, repaired or not, keeps to the schema."""
        self._score(
            self._logger,
            self._last_call(),
            "JSONValidation",
            0.0 if problem else 1.0,
            failed=bool(problem),
            why=problem,
        )

    def _evaluate(self, trace: PlannedTrace, root: SpanContext, answered: SpanContext) -> None:
        """Two judges score the answer some minutes later: the whole request, and what the model claimed."""
        rng = Random(f"scores/{trace.trace_id}")
        self._clock.move_to(trace.start + timedelta(microseconds=rng.randrange(120_000_000, 540_000_000)))
        for span, name, failed, why in (
            (root, "TaskCompletion", trace.draw.task_failed, "The request is left open."),
            (answered, "Groundedness", trace.draw.ungrounded, "A claim is not in the excerpts."),
        ):
            score = round(rng.uniform(0.05, 0.45) if failed else rng.uniform(0.6, 0.98), 2)
            self._score(self._judges, span, name, score, failed=failed, why=why if failed else None)

    def _score(
        self,
        logger: Logger,
        span: SpanContext,
        name: str,
        value: float,
        *,
        failed: bool,
        why: str | None,
    ) -> None:
        judged = logger is self._judges
        attributes: dict[str, AnyValue] = {
            "gen_ai.evaluation.name": name,
            "gen_ai.evaluation.score.value": value,
            "gen_ai.evaluation.score.label": "fail" if failed else "pass",
            "gen_ai.evaluation.evaluator.source": "LLM" if judged else "CODE",
            "gen_ai.evaluation.evaluator.version": _JUDGES_VERSION if judged else _SCHEMA_VERSION,
        }
        if why:
            attributes["gen_ai.evaluation.explanation"] = why
        logger.emit(
            LogRecord(
                timestamp=self._clock.now_ns(),
                context=set_span_in_context(NonRecordingSpan(span)),
                severity_number=SeverityNumber.INFO,
                event_name="gen_ai.evaluation.result",
                attributes=attributes,
            )
        )


def _message(trace: PlannedTrace, call: ModelCall) -> dict[str, Any]:
    """What the model says in one planned call."""
    if call.purpose == "tool":
        function = {"name": _TOOL, "arguments": json.dumps({"ticket": trace.ticket_id})}
        return {
            "content": None,
            "tool_calls": [{"id": f"call_{trace.trace_id[:12]}", "type": "function", "function": function}],
        }
    if call.purpose == "repair":
        return {"content": texts.repair(trace.cohort, trace.text_variant)}
    return {"content": texts.answer(trace.cohort, trace.text_variant, valid=call.valid)}
