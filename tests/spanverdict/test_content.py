"""The content policy of the configuration, in the running server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from collector.patterns import PATTERNS
from spanverdict.config import ConfigError, load

CONFIGURATION = """
[content]
prompts = "drop"
tool_results = "truncate"
truncate_characters = 5
tool_arguments = "hash"
hash_key = "0123456789abcdef"
attributes = ["app.question"]
patterns = ["email"]
custom_patterns = { ticket = "TCK-[0-9]+" }
unmasked_attributes = ["ticket.id"]
"""
SENT = {
    "gen_ai.prompt.0.content": "unheard-of words",
    "gen_ai.tool.call.arguments": "unspoken arguments",
    "gen_ai.tool.call.result": "sunny, 9C",
    "app.question": "unasked question",
    "gen_ai.content.completion": "an answer",
    "note": "bob@example.com on TCK-12",
    "ticket.id": "TCK-12",
    "gen_ai.request.model": "m",
    "gen_ai.usage.input_tokens": 5,
}


@pytest.mark.any_store(slow=True)
def test_what_the_configuration_says_is_what_is_stored(
    start_server: Callable[..., Any], tmp_path: Path, otlp: Any
) -> None:
    """A server with a policy stores only what it may, and nothing else lies on its disk, before and after it stops."""
    (tmp_path / "spanverdict.toml").write_text(CONFIGURATION, "utf-8")
    folder = tmp_path / "data"
    folder.mkdir()
    server = start_server(folder / "store.duckdb")
    with grpc.insecure_channel(server.told.grpc) as channel:
        TraceServiceStub(channel).Export(otlp.request({"attributes": SENT}), timeout=30)
    (row,) = server.sql("SELECT attributes::VARCHAR AS attributes, request_model, input_tokens FROM spans")
    kept = json.loads(row["attributes"])
    assert kept.pop("gen_ai.tool.call.arguments").startswith("[hash:")
    # A completion may hold the arguments of a tool: the stricter of the two counts.
    assert kept.pop("gen_ai.content.completion").startswith("[hash:")
    assert kept.pop("gen_ai.tool.call.result") == "sunny[truncated:9]"
    assert kept == {
        "note": "[redacted:email] on [redacted:ticket]",
        "ticket.id": "TCK-12",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 5,
    }
    assert (row["request_model"], row["input_tokens"]) == ("m", 5)
    assert server.stop() == 0
    for path in (path for path in folder.rglob("*") if path.is_file()):
        for words in (b"unheard", b"unspoken", b"unasked", b"bob@"):
            assert words not in path.read_bytes(), path


def test_hashes_need_a_key(tmp_path: Path) -> None:
    """A server that shall hash without a key says so in one sentence and makes no store; other commands do not care."""
    (tmp_path / "c.toml").write_text('[content]\nprompts = "hash"\n', "utf-8")
    command = [sys.executable, "-m", "spanverdict", "serve", "--config", "c.toml", "--db", "s.duckdb"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "'content.hash_key' is not set" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "s.duckdb").exists()
    assert load(tmp_path / "c.toml").content.prompts == "hash"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('custom_patterns = { a = "(" }', "'content.custom_patterns.a' is '(', but it is not a regular expression"),
        ('custom_patterns = { a = "x*" }', "finds the empty text"),
        ('custom_patterns = { email = "x" }', "it is the name of a built-in pattern"),
        ('patterns = ["mail"]', f"these are {', '.join(PATTERNS)}"),
        ('prompts = "delete"', "'keep', 'truncate', 'hash' or 'drop'"),
        ("truncate_characters = 0", "greater than 0"),
    ],
)
def test_a_policy_that_cannot_be(tmp_path: Path, text: str, sentence: str) -> None:
    """What cannot be used is said when the configuration is read, with its key."""
    path = tmp_path / "c.toml"
    path.write_text(f"[content]\n{text}\n", "utf-8")
    with pytest.raises(ConfigError, match="content") as raised:
        load(path)
    assert sentence in str(raised.value)


def test_the_key_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is too short is refused without being repeated, and a good one prints as stars."""
    path = tmp_path / "c.toml"
    path.write_text('[content]\nhash_key = "tooshort"\n', "utf-8")
    with pytest.raises(ConfigError, match="fewer than 16 characters") as raised:
        load(path)
    assert "tooshort" not in str(raised.value)
    path.write_text("", "utf-8")
    monkeypatch.setenv("SPANVERDICT_CONTENT__HASH_KEY", "a long enough secret")
    config = load(path)
    assert config.content.hash_key is not None
    assert config.content.hash_key.get_secret_value() == "a long enough secret"
    assert "a long enough" not in repr(config)
