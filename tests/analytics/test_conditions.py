"""What the store tells of the conditions of traces, as each instrumentation and sampler writes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analytics.condition_attributes import ConditionAttributes
from analytics.conditions import read_conditions, read_requests, with_conditions
from analytics.job import run_report
from analytics.job_options import JobOptions
from analytics.promotions import Promotion, promotion_row
from analytics.report import render
from analytics.report.model import CheckStatus, Verdict
from analytics.trace_parts import whole_window
from collector.decode import decode_traces
from collector.otlp_json import to_protobuf
from collector.rows import span_rows
from collector.signals import Signal
from sql.opened_store import OpenedStore
from tests.stores import store_at

pytestmark = pytest.mark.any_store(slow=True)


AT = datetime(2026, 10, 20)
UNTIL = datetime(2026, 11, 20)
PROMOTION = Promotion("p", "m0", "m1", "concurrent", AT, None, "app.cohort", 0.5)
SYSTEM = "You are an agent."
MESSAGES = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Where is my card?"}]
CHAT = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m0"}

Tell = Callable[..., dict[str, Any]]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[OpenedStore]:
    """An empty store."""
    with store_at(tmp_path / "s.duckdb") as opened:
        yield opened


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedStore]:
    """A store for traces of many tests."""
    with store_at(tmp_path_factory.mktemp("many") / "s.duckdb") as opened:
        yield opened


_NUMBERS = count(1)


@pytest.fixture
def tell(many: OpenedStore, otlp: Any) -> Tell:
    """Store one trace's spans and say what is known of it."""

    def told(*spans: dict[str, Any], attributes: ConditionAttributes | None = None) -> dict[str, Any]:
        trace = next(_NUMBERS).to_bytes(16, "big")
        data = otlp.request(*(span | {"trace_id": trace} for span in spans)).SerializeToString()
        many.write(span_rows(decode_traces([data]), [None], AT).tables)
        found = read_conditions(many, PROMOTION, attributes or ConditionAttributes(), whole_window(AT, UNTIL))
        own = found.filter(pl.col("trace_id") == trace.hex())
        return own.row(0, named=True) if own.height else {}

    return told


def chat(**attributes: Any) -> dict[str, Any]:
    """A model call."""
    return {"attributes": CHAT | attributes}


@pytest.mark.parametrize(
    ("attributes", "changed"),
    [
        ({"gen_ai.tool.definitions": '[{"name": "lookup"}]'}, {"gen_ai.tool.definitions": '[{"name": "search"}]'}),
        (
            {"llm.tools.0.tool.json_schema": "a", "llm.tools.1.tool.json_schema": "b"},
            {"llm.tools.1.tool.json_schema": "c"},
        ),
        (
            {"llm.request.functions.0.name": "a", "llm.request.functions.0.parameters": "{}"},
            {"llm.request.functions.0.parameters": '{"x": 1}'},
        ),
        ({"ai.prompt.tools": ["a"]}, {"ai.prompt.tools": ["a", "b"]}),
    ],
    ids=["OpenTelemetry", "OpenInference", "OpenLLMetry", "Vercel"],
)  # fmt: skip
def test_definitions_of_tools(tell: Tell, attributes: dict[str, Any], changed: dict[str, Any]) -> None:
    """Each instrumentation's definitions become a hash, and another one if any of them changes."""
    first, other = (tell(chat(**told))["tool_schema"] for told in (attributes, attributes | changed))
    assert len(first) == 32
    assert first != other


def test_the_hash_changes_with_the_content(store: OpenedStore, otlp: Any) -> None:
    """Equal definitions and instructions have equal hashes, different ones different hashes."""
    for number, (tools, system) in enumerate([("a", "x"), ("a", "y"), ("b", "x")]):
        span = chat(**{"gen_ai.tool.definitions": tools, "gen_ai.system_instructions": system})
        data = otlp.request(span | {"trace_id": bytes([number + 1]) * 16}).SerializeToString()
        store.write(span_rows(decode_traces([data]), [None], AT).tables)
    found = read_conditions(store, PROMOTION, ConditionAttributes(), whole_window(AT, UNTIL)).sort("trace_id")
    tools, systems = found["tool_schema"].to_list(), found["system_prompt"].to_list()
    assert tools[0] == tools[1] != tools[2]
    assert systems[0] == systems[2] != systems[1]


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.system_instructions": SYSTEM},
        {"gen_ai.input.messages": json.dumps(MESSAGES)},
        {"llm.input_messages.0.message.role": "system", "llm.input_messages.0.message.content": SYSTEM},
        {"gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": SYSTEM},
        {"ai.prompt.messages": json.dumps(MESSAGES)},
        {"ai.prompt": json.dumps({"system": SYSTEM, "prompt": "Where is my card?"})},
        {"request_data": json.dumps({"model": "m0", "messages": MESSAGES})},
        {"mlflow.spanInputs": json.dumps({"model": "m0", "messages": MESSAGES})},
        {"llm.input_messages.0.message.role": "developer", "llm.input_messages.0.message.content": "[hash:0f3a]"},
    ],
    ids=["OpenTelemetry", "messages", "OpenInference", "OpenLLMetry", "Vercel", "object", "Logfire", "MLflow", "hash"],
)  # fmt: skip
def test_instructions(tell: Tell, attributes: dict[str, Any]) -> None:
    """Each instrumentation's instructions become a hash; also where the content policy left a hash of its own."""
    assert len(tell(chat(**attributes))["system_prompt"]) == 32


@pytest.mark.parametrize(
    "attributes",
    [
        {"gen_ai.input.messages": json.dumps(MESSAGES[1:])},
        {"gen_ai.input.messages": "[hash:0f3a]"},
        {"llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "Where is my card?"},
        {"ai.prompt": '{"system": '},
        {},
    ],
)
def test_what_is_no_instruction_is_unknown(tell: Tell, attributes: dict[str, Any]) -> None:
    """A user's message is no instruction; a hash of all messages or broken JSON tells none."""
    assert tell(chat(**attributes)).get("system_prompt") is None


def test_attributes_of_the_application_go_first(tell: Tell) -> None:
    """What the configuration names holds before what instrumentations write."""
    own = ConditionAttributes("app.tools", "app.prompt/hash", "app.index", "app.kept")
    told = tell(
        chat(**{"app.tools": "7", "app.prompt/hash": "h1", "gen_ai.tool.definitions": "x", "app.kept": 0.25}),
        {"attributes": {"gen_ai.operation.name": "retrieval", "app.index": "v2", "db.collection.name": "docs"}},
        attributes=own,
    )
    assert (told["retrieval_version"], told["keep_probability"]) == ("v2", 0.25)
    assert told["tool_schema"] == hashlib.md5(b"7", usedforsecurity=False).hexdigest()


def test_the_first_model_call_speaks(tell: Tell) -> None:
    """Later calls depend on what the model answered, so the first one's instructions are the trace's."""
    first = tell(chat(**{"gen_ai.system_instructions": "plan"}))["system_prompt"]
    both = tell(
        chat(**{"gen_ai.system_instructions": "plan"}),
        chat(**{"gen_ai.system_instructions": "repair"}),
    )
    assert both["system_prompt"] == first


@pytest.mark.parametrize(
    ("attributes", "documents"),
    [
        ({"gen_ai.retrieval.documents": json.dumps([{"id": "a"}, {"id": "b"}])}, 2),
        ({"retrieval.documents.0.document.id": "a", "retrieval.documents.0.document.score": 0.5,
          "retrieval.documents.1.document.id": "b", "retrieval.documents.10.document.id": "c"}, 3),
        ({"gen_ai.retrieval.documents": "[hash:0f3a]"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_retrieved_documents(tell: Tell, attributes: dict[str, Any], documents: int | None) -> None:
    """Documents of a retrieval are counted, however they are written, and not where their content is not kept."""
    told = tell(
        chat(), {"attributes": {"gen_ai.operation.name": "retrieval", "db.collection.name": "idx-7"} | attributes}
    )
    assert (told["retrieval_version"], told["retrieved_documents"]) == ("idx-7", documents)


@pytest.mark.parametrize(
    ("span", "probability", "rule"),
    [
        ({"trace_state": "ot=th:c"}, 0.25, None),
        ({"trace_state": "vendor=x,ot=rv:0123456789abcd;th:8"}, 0.5, None),
        ({"trace_state": "ot=th:0"}, 1.0, None),
        ({"trace_state": "other=th:c"}, None, None),
        ({"attributes": {"sampling.probability": 0.1}}, 0.1, None),
        ({"attributes": {"sampling.keep_probability": "0.1"}}, 0.1, None),
        ({"attributes": {"SampleRate": 20, "meta.refinery.reason": "rules/trace/slow"}}, 0.05, "rules/trace/slow"),
        ({"attributes": {"_dd.rule_psr": 0.3}}, 0.3, None),
        ({"attributes": {"sampler.type": "probabilistic", "sampler.param": 0.01}}, 0.01, None),
        ({"attributes": {"sampler.type": "ratelimiting", "sampler.param": 2.0}}, None, "ratelimiting"),
        ({"attributes": {"tailsampling.policy": "errors"}}, None, "errors"),
        ({"attributes": {"sampling.probability": 0.0}}, None, None),
        ({"attributes": {"sampling.probability": 7}}, None, None),
        ({"attributes": {"SampleRate": 0}}, None, None),
        ({"attributes": {"sampling.probability": "often"}}, None, None),
    ],
)
def test_the_probability_of_being_kept(
    tell: Tell, span: dict[str, Any], probability: float | None, rule: str | None
) -> None:
    """OpenTelemetry's threshold, probabilities and rates are read; what is none says nothing."""
    told = tell(span)
    assert told.get("keep_probability") == (None if probability is None else pytest.approx(probability))
    assert told.get("sampling_rule") == rule


def test_before_the_promotion_only_sampling_is_read(store: OpenedStore, otlp: Any) -> None:
    """The pre-period is weighed as well; its prompts are not compared, unless before and after are."""
    span = chat(**{"gen_ai.system_instructions": "x", "sampling.probability": 0.5})
    store.write(span_rows(decode_traces([otlp.request(span).SerializeToString()]), [None], AT).tables)
    later = Promotion("p", "m0", "m1", "concurrent", UNTIL - timedelta(days=1), None, "app.cohort", 0.5)
    told = read_conditions(store, later, ConditionAttributes(), whole_window(AT, UNTIL)).row(0, named=True)
    assert (told["system_prompt"], told["keep_probability"]) == (None, 0.5)
    both = Promotion("p", "m0", "m1", "before_after", later.at, None, "app.cohort", None)
    assert read_conditions(store, both, ConditionAttributes(), whole_window(AT, UNTIL))["system_prompt"][0] is not None


def test_traces_without_a_word_stay(store: OpenedStore) -> None:
    """A frame keeps its rows and order; what is unknown is null."""
    found = read_conditions(store, PROMOTION, ConditionAttributes(), whole_window(AT, UNTIL))
    traces = with_conditions(pl.DataFrame({"trace_id": ["b", "a"]}), found)
    assert traces["trace_id"].to_list() == ["b", "a"]
    assert traces["keep_probability"].null_count() == 2


def test_requests_are_described_by_attributes_of_few_values(store: OpenedStore, otlp: Any) -> None:
    """Kinds of requests are read from root spans; ids, models and what went on are passed over."""
    spans = [
        {
            "trace_id": bytes([number + 1]) * 16,
            "attributes": CHAT | {"app.difficulty": "hard" if number % 2 else "easy", "app.ticket": f"T-{number}",
                                  "app.vip": number % 2 == 0, "user.id": "u", "http.status_code": 200},
        }
        for number in range(30)
    ]  # fmt: skip
    store.write(span_rows(decode_traces([otlp.request(*spans).SerializeToString()]), [None], AT).tables)
    found = read_requests(store, PROMOTION, ConditionAttributes(), until=UNTIL)
    assert found is not None
    assert found["trace_id"].n_unique() == 30
    assert set(found.drop_nulls("name").select("name", "value").iter_rows()) == {
        ("app.difficulty", "easy"), ("app.difficulty", "hard"), ("app.vip", "true"), ("app.vip", "false"),
    }  # fmt: skip
    named = read_requests(store, PROMOTION, ConditionAttributes(request=("user.id", "app.ticket")), until=UNTIL)
    assert named is not None
    assert set(named["name"].drop_nulls()) == {"user.id"}
    strata = Promotion("p", "m0", "m1", "concurrent", AT, None, "app.cohort", 0.5, stratify_by=("app.difficulty",))
    assert read_requests(store, strata, ConditionAttributes(), until=UNTIL) is None


def test_captured_definitions_and_instructions(store: OpenedStore, shared_fixtures: Path) -> None:
    """Spans of real instrumentations that were given tools tell them."""
    for path in sorted((shared_fixtures / "generated-matrix").glob("openai-chat-tools.*.traces.json")):
        data = to_protobuf(path.read_bytes(), Signal.TRACES)
        store.write(span_rows(decode_traces([data]), [None], AT).tables)
    wide = datetime(2000, 1, 1), datetime(2100, 1, 1)
    every = Promotion("p", "m0", "m1", "before_after", wide[1], None, "app.cohort", None)
    found = read_conditions(store, every, ConditionAttributes(), whole_window(*wide))
    assert found["tool_schema"].drop_nulls().len() >= 3


def test_a_report_compares_what_both_arms_shared(store: OpenedStore, otlp: Any) -> None:
    """A newer system prompt for a part of the candidate: the cohort is invalid, and judged on what both arms shared."""
    spans = []
    for number in range(800):
        candidate = number % 2
        drifted = candidate and number % 8 == 1
        start = 1_792_500_000_000_000_000 + number * 600_000_000_000
        spans.append(
            {
                "trace_id": (number + 1).to_bytes(16, "big"), "span_id": (number + 1).to_bytes(8, "big"),
                "start_time_unix_nano": start, "end_time_unix_nano": start + 10**9,
                "status": {"code": 2 if drifted else 0},
                "attributes": CHAT | {
                    "gen_ai.request.model": f"m{candidate}", "app.cohort": "eu", "user.id": f"u{number}",
                    "gen_ai.system_instructions": "new" if drifted else "old",
                },
            }
        )  # fmt: skip
    store.write(span_rows(decode_traces([otlp.request(*spans).SerializeToString()]), [None], AT).tables)
    store.write({"promotions": promotion_row(PROMOTION, AT)})
    report = run_report(store, "p", JobOptions(), as_of=UNTIL, now=UNTIL)
    failed = [check for check in report.checks if check.status is CheckStatus.FAIL and check.check == "system_prompt"]
    assert [check.cohort for check in failed] == ["eu"]
    assert {result.verdict for cohort in report.cohorts for result in cohort.metrics} == {Verdict.INVALID}
    assert report.shared is not None
    assert report.shared.kept == {"eu": {"base": 1.0, "candidate": 0.75}}
    (shared,) = report.shared.cohorts
    error = next(result for result in shared.metrics if result.metric == "error_rate")
    assert (error.base.n, error.candidate.n, error.candidate.value) == (400, 300, 0.0)
    assert error.verdict is not Verdict.INVALID
    for form in ("table", "html", "md"):
        assert "On what both arms shared" in render(report, form)
    assert json.loads(render(report, "json"))["shared_versions"]["checks"] == ["system_prompt"]
