"""Stored rows without their content: what a content policy would have kept, and everything else to the character."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.content import REDUCED, Content, kinds_of_attribute
from collector.decode import decode_logs, decode_traces
from collector.otlp_json import to_protobuf
from collector.redact import content_policy
from collector.rows import log_rows, span_rows
from collector.signals import Signal
from collector.stored_content import changed_without_content, without_content

NOW = datetime(2026, 11, 24)
POLICY = content_policy(
    dict.fromkeys(Content, "drop"),
    truncate_characters=2000, hash_key=None, attributes=(), patterns=(), custom_patterns={}, unmasked=(),
)  # fmt: skip
CAPTURED = ["generated-matrix/*.traces.json", "generated-matrix/*.logs.json", "langfuse/*.otlp.json"]


def stored(data: bytes, signal: Signal, *, kept: bool) -> pa.Table:
    """The rows of a request, with its content or as a policy that drops all of it lets them be stored."""
    assert POLICY is not None
    if signal is Signal.TRACES:
        spans = decode_traces([data])
        return span_rows(spans if kept else POLICY.apply_to_spans(spans)[0], [None], NOW).tables["spans"]
    logs = decode_logs([data])
    return log_rows(logs if kept else POLICY.apply_to_logs(logs)[0], [None], NOW).tables["log_records"]


def test_what_is_left_is_what_a_policy_would_have_stored(shared_fixtures: Path) -> None:
    """Of captured instrumentations, the same attributes, events and bodies are dropped as on the way in."""
    changed = 0
    for pattern in CAPTURED:
        for path in sorted(shared_fixtures.glob(pattern)):
            signal = Signal.LOGS if "resourceLogs" in path.read_text("utf-8") else Signal.TRACES
            data = to_protobuf(path.read_bytes(), signal)
            rows = stored(data, signal, kept=True)
            columns = ("attributes", "events") if signal is Signal.TRACES else ("body", "attributes")
            rows = rows.append_column("row", pa.array(range(rows.num_rows)))
            table = "spans" if signal is Signal.TRACES else "log_records"
            after = {row["row"]: row for row in changed_without_content(table, rows).to_pylist()}
            assert without_content(table, rows).num_rows == rows.num_rows
            changed += len(after)
            wanted = stored(data, signal, kept=False).to_pylist()
            for number, (row, told) in enumerate(zip(rows.to_pylist(), wanted, strict=True)):
                for column in columns:
                    found = after.get(number, row)[column]
                    assert (found and json.loads(found)) == (told[column] and json.loads(told[column])), path.name
    assert changed > 50


def span(attributes: str | None, events: str | None = "[]") -> pa.Table:
    """One row."""
    columns = {"attributes": pa.array([attributes], pa.string()), "events": pa.array([events], pa.string())}
    return pa.table({"span_id": ["s"], **columns})


def test_the_rest_stays_to_the_character() -> None:
    """Numbers, escapes and blanks of what is kept are as they were; a name that is given twice loses both."""
    text = '{"a" : 1.50e+300, "input.value":"said", "b\\u00e9":[ 1,{"x":"\\ud800"}],"input.value":2, "n":NaN}'
    assert changed_without_content("spans", span(text))["attributes"].to_pylist() == [
        '{"a" : 1.50e+300,"b\\u00e9":[ 1,{"x":"\\ud800"}],"n":NaN}'
    ]


def test_rows_without_content_are_not_changed() -> None:
    """Nothing is to be written for them."""
    for text in (None, "{}", '{"gen_ai.request.model":"m","app.input":"x"}'):
        assert changed_without_content("spans", span(text, None)).num_rows == 0


def test_events_and_names_that_the_configuration_adds() -> None:
    """A message event keeps its name and what is about the call; an attribute that is named goes too."""
    event = '{"time_unix_nano":1,"name":"gen_ai.user.message","attributes":{"content":"said","role":"user"}}'
    other = '{"time_unix_nano":2,"name":"retry","attributes":{"content":"x"}}'
    rows = span('{"app.secret":1,"kept":2}', f"[{event},{other}]")
    after = changed_without_content("spans", rows, ("app.s*",)).to_pylist()[0]
    assert after["attributes"] == '{"kept":2}'
    assert after["events"] == "[" + event.replace('"content":"said",', "") + f",{other}]"


@pytest.mark.parametrize("text", ["[]", '{"a"', '{"a":}', "{1:2}", "", '{"a":1'])
def test_what_is_no_object_is_refused(text: str) -> None:
    """Such a text is never taken for one without content."""
    with pytest.raises(ValueError, match=r"stored|Expecting|delimiter"):
        changed_without_content("spans", span(text))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=4,
)


_NAMES = (st.text(min_size=1) | st.sampled_from(["input.value", "gen_ai.prompt", "output"])).filter(
    lambda name: name not in REDUCED
)


@settings(max_examples=20)
@given(st.dictionaries(_NAMES, _JSON, max_size=4))
def test_no_content_is_left_and_nothing_else_lost(attributes: dict[str, Any]) -> None:
    """Whatever an object holds."""
    text = json.dumps(attributes)
    rows = changed_without_content("spans", span(text))
    after = json.loads(rows["attributes"][0].as_py()) if rows.num_rows else attributes
    assert after == {name: value for name, value in attributes.items() if not kinds_of_attribute(name)}
