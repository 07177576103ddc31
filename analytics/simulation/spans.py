"""The spans of simulated traces, as OTLP/JSON texts.

A trace is a server span and the model call below it, with a second call where the first answer had to be repaired.
Where a scenario shows steps, an agent plans, searches, calls a tool and answers: names and kinds are those of the
OpenTelemetry semantic conventions for generative AI (``invoke_agent``, ``chat``, ``retrieval``, ``execute_tool``).
"""

from __future__ import annotations

import json

import polars as pl

from analytics.simulation.draw import MOST_DOCUMENTS
from analytics.simulation.scenarios import Scenario

BASE = "sim-base"
CANDIDATE = "sim-candidate"

NS_PER_MS = 1_000_000
_ROOT_MARGIN_MS = 20.0

_ROOT, _CALL, _REPAIR, _AGENT, _PLAN, _SEARCH, _TOOL = range(1, 8)
_SERVER, _CLIENT, _INTERNAL = 2, 3, 1
_PLANNED, _SEARCHED, _USED = 20, 30, 45
"""Per cent of the answer's time after which planning, the search and the tool have ended."""

_TOOL_NAME = "lookup_order"
_INDEX = ("handbook-2026-10", "handbook-2026-11")
_INSTRUCTIONS = ("You answer customers of a bank.", "You answer customers of a bank. Be brief.")


def _tools(required: list[str]) -> str:
    parameters = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": required}
    return json.dumps([{"type": "function", "name": _TOOL_NAME, "parameters": parameters}])


_TOOLS = (_tools([]), _tools(["order_id"]))


def members(*parts: pl.Expr | str) -> pl.Expr:
    """Texts and columns, one after the other."""
    return pl.concat_str([pl.lit(part) if isinstance(part, str) else part.cast(pl.String) for part in parts])


def text(key: str, value: pl.Expr | str) -> pl.Expr:
    """An attribute whose value is text without characters that JSON escapes."""
    return members(f'{{"key":"{key}","value":{{"stringValue":"', value, '"}}')


def whole(key: str, value: pl.Expr) -> pl.Expr:
    """An attribute whose value is a whole number."""
    return members(f'{{"key":"{key}","value":{{"intValue":"', value, '"}}')


def joined(*attributes: pl.Expr) -> pl.Expr:
    """Attributes as the members of an array; one that is null is left out."""
    return pl.concat_str(attributes, separator=",", ignore_nulls=True)


def span_id(number: int) -> pl.Expr:
    """Span ids from their trace's id: the root is 1, its calls follow."""
    return members(pl.col("trace_id").str.slice(0, 15), str(number))


def timed(traces: pl.DataFrame) -> pl.DataFrame:
    """The traces with the model that answered and the times of their spans in Unix nanoseconds."""
    took = (pl.col("latency_ms") * NS_PER_MS).cast(pl.Int64)
    call = pl.col("start_ns") + int(_ROOT_MARGIN_MS / 2 * NS_PER_MS)
    return traces.with_columns(
        end_ns=pl.col("start_ns") + took + int(_ROOT_MARGIN_MS * NS_PER_MS),
        call_start_ns=call,
        call_end_ns=call + took,
        # A repair takes the last third of the time; without one the first call takes all of it.
        repair_ns=call + took * 2 // 3,
        model=pl.when("is_candidate").then(pl.lit(CANDIDATE)).otherwise(pl.lit(BASE)),
    )


def spans(scenario: Scenario, traces: pl.DataFrame) -> pl.Series:
    """The spans of each trace as JSON, one text a trace.

    Args:
        scenario: for what its traces show.
        traces: what :func:`timed` returns.
    """
    nothing = pl.lit("")
    failed = pl.when("error").then(pl.lit('"code":2')).otherwise(nothing)
    root = _span(
        _ROOT, None, "answer", _SERVER, pl.col("start_ns"), pl.col("end_ns"), failed,
        text("app.cohort", pl.col("cohort")),
        text("user.id", pl.col("user_id")),
        text("app.difficulty", pl.when("is_hard").then(pl.lit("hard")).otherwise(pl.lit("easy"))),
        text("gen_ai.prompt.name", "answer"),
        text("gen_ai.prompt.version", pl.col("prompt_version")),
        *((_fraction("sampling.probability", pl.col("keep_probability")),) if scenario.kept < 1 else ()),
    )  # fmt: skip
    asked = (
        text("gen_ai.operation.name", "chat"),
        text("gen_ai.provider.name", "openai"),
        text("gen_ai.request.model", pl.col("model")),
        text("gen_ai.response.model", pl.col("model")),
        *_contract(scenario),
    )
    used = (
        whole("gen_ai.usage.input_tokens", pl.col("input_tokens")),
        whole("gen_ai.usage.output_tokens", pl.col("output_tokens")),
    )
    sent = (text("agentcc.request_id", request_id()),) if scenario.split == "mirrored" else ()
    parent = _AGENT if scenario.steps else _ROOT
    repaired = pl.col("schema_repair")
    begin = _share_of_call(_USED) if scenario.steps else pl.col("call_start_ns")
    first = _span(
        _CALL, parent, "chat", _CLIENT, begin, pl.when(repaired).then("repair_ns").otherwise("call_end_ns"), failed,
        *asked, *used, *sent, *((_finished("stop"),) if scenario.steps else ()),
    )  # fmt: skip
    # The first answer's tokens are the trace's; a repair is short.
    repair = _span(
        _REPAIR, parent, "chat", _CLIENT, pl.col("repair_ns"), pl.col("call_end_ns"), failed, *asked,
        whole("gen_ai.usage.input_tokens", pl.lit(50)), whole("gen_ai.usage.output_tokens", pl.lit(10)),
        text("app.attempt", "schema_repair"),
    )  # fmt: skip
    second = pl.when(repaired).then(members(",", repair)).otherwise(nothing)
    before = members(",", _steps(scenario, asked)) if scenario.steps else nothing
    return traces.select(spans=members(root, before, ",", first, second))["spans"]


def request_id() -> pl.Expr:
    """What a gateway calls the request of a trace."""
    return members("req-", pl.col("trace_id").str.slice(0, 20))


def _span(
    number: int, parent: int | None, name: str, kind: int, start: pl.Expr, end: pl.Expr, status: pl.Expr,
    *attributes: pl.Expr,
) -> pl.Expr:  # fmt: skip
    below = "" if parent is None else members('"parentSpanId":"', span_id(parent), '",')
    return members(
        '{"traceId":"', pl.col("trace_id"), '","spanId":"', span_id(number), '",', below,
        f'"name":"{name}","kind":{kind},"startTimeUnixNano":"', start, '","endTimeUnixNano":"', end,
        '","attributes":[', joined(*attributes), '],"status":{', status, "}}",
    )  # fmt: skip


def _steps(scenario: Scenario, asked: tuple[pl.Expr, ...]) -> pl.Expr:
    """What an agent does before it answers: it plans, searches and calls a tool."""
    fine = pl.lit("")
    begin, planned, searched, looked_up = (_share_of_call(cent) for cent in (0, _PLANNED, _SEARCHED, _USED))
    return pl.concat_str(
        _span(
            _AGENT, _ROOT, "invoke_agent support", _INTERNAL, begin, pl.col("call_end_ns"), fine,
            text("gen_ai.operation.name", "invoke_agent"), text("gen_ai.agent.name", "support"),
        ),
        _span(
            _PLAN, _AGENT, "chat", _CLIENT, begin, planned, fine, *asked, _finished("tool_calls"),
            whole("gen_ai.usage.input_tokens", pl.lit(120)), whole("gen_ai.usage.output_tokens", pl.lit(15)),
        ),
        _span(
            _SEARCH, _AGENT, "retrieval handbook", _CLIENT, planned, searched, fine,
            text("gen_ai.operation.name", "retrieval"), text("gen_ai.data_source.id", "handbook"),
            text("db.collection.name", _either(scenario, "index", _INDEX)), _documents(),
        ),
        _span(
            _TOOL, _AGENT, f"execute_tool {_TOOL_NAME}", _INTERNAL, searched, looked_up,
            pl.when("tool_failed").then(pl.lit('"code":2')).otherwise(fine),
            text("gen_ai.operation.name", "execute_tool"), text("gen_ai.tool.name", _TOOL_NAME),
            text("gen_ai.tool.call.id", members("call-", pl.col("trace_id").str.slice(0, 8))),
        ),
        separator=",",
    )  # fmt: skip


def _contract(scenario: Scenario) -> tuple[pl.Expr, ...]:
    """What a call was given beside the question, where that is what drifts or where steps show."""
    given = []
    if scenario.steps or scenario.drifts == "tools":
        given.append(
            text("gen_ai.tool.definitions", _either(scenario, "tools", (_escaped(_TOOLS[0]), _escaped(_TOOLS[1]))))
        )
    if scenario.drifts == "system":
        old, new = (_escaped(json.dumps([{"type": "text", "content": words}])) for words in _INSTRUCTIONS)
        given.append(text("gen_ai.system_instructions", _either(scenario, "system", (old, new))))
    return tuple(given)


def _either(scenario: Scenario, what: str, versions: tuple[str, str]) -> pl.Expr:
    """The usual version, or the other one where it is this that drifts."""
    usual, other = (pl.lit(version) for version in versions)
    return pl.when("is_drifted").then(other).otherwise(usual) if scenario.drifts == what else usual


def _share_of_call(cent: int) -> pl.Expr:
    """The time at which a share of the time before the repair, if any, has passed."""
    took = pl.when("schema_repair").then("repair_ns").otherwise("call_end_ns") - pl.col("call_start_ns")
    return pl.col("call_start_ns") + took * cent // 100


def _finished(reason: str) -> pl.Expr:
    values = f'{{"values":[{{"stringValue":"{reason}"}}]}}'
    return pl.lit(f'{{"key":"gen_ai.response.finish_reasons","value":{{"arrayValue":{values}}}}}')


def _fraction(key: str, value: pl.Expr) -> pl.Expr:
    return members(f'{{"key":"{key}","value":{{"doubleValue":', value, "}}")


def _documents() -> pl.Expr:
    """The documents that a search found, as JSON in an attribute's text."""
    found = [
        _escaped(json.dumps([{"id": f"page-{page}", "score": 0.8} for page in range(count)]))
        for count in range(MOST_DOCUMENTS + 1)
    ]
    choices = pl.lit(found[0])
    for count in range(1, MOST_DOCUMENTS + 1):
        choices = pl.when(pl.col("documents") == count).then(pl.lit(found[count])).otherwise(choices)
    return text("gen_ai.retrieval.documents", choices)


def _escaped(value: str) -> str:
    """A text as it stands within quotes in JSON."""
    return json.dumps(value)[1:-1]
