"""Clients of other makers: the JavaScript SDK with each of its exporters, and an agent that forwards what it gets."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

pytestmark = pytest.mark.any_store(slow=True)

APP = Path(__file__).parent / "apps" / "javascript"
INSTALL_SECONDS = 60
SPANS = 200


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app with its packages, installed into a folder of its own."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    folder = tmp_path_factory.mktemp("javascript")
    for name in ("package.json", "app.mjs"):
        shutil.copy(APP / name, folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts",
               "--fetch-retries=0"]  # fmt: skip
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not install the packages within {INSTALL_SECONDS} s")
    if done.returncode:
        pytest.skip(f"npm could not install the packages: {done.stderr[-300:]}")
    return folder


@pytest.mark.parametrize("exporter", ["grpc", "http", "proto"])
def test_the_javascript_sdk(server: Any, javascript: Path, exporter: str) -> None:
    """Each of its exporters delivers every span once, with attributes, events and unicode as they were set."""
    told = server.told
    url = f"http://{told.grpc}" if exporter == "grpc" else f"http://{told.http}/v1/traces"
    command = ["node", "app.mjs", exporter, url, f"{SPANS}"]
    done = subprocess.run(command, cwd=javascript, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    rows = server.sql("SELECT * FROM spans ORDER BY input_tokens")
    assert len(rows) == SPANS
    for number, row in enumerate(rows):
        assert row["name"] == f"שלום 你好 🦊 {number}"
        assert (row["service_name"], row["scope_name"], row["scope_version"]) == (
            f"js-{exporter}",
            "javascript-app",
            "1.0",
        )
        assert (row["kind"], row["operation"], row["request_model"]) == ("CLIENT", "chat", "m1")
        assert (row["status_code"], row["status_message"]) == (("ERROR", "nein") if number % 2 else ("UNSET", None))
        attributes = json.loads(row["attributes"])
        expected = {
            "ratio": 0.5, "large": 2**53 - 1, "negative": -number, "yes": True, "texts": ["a", "ü", ""],
            'quoted "key"\n': 'line\nbreak \0 "quotes" \\',
        }  # fmt: skip
        assert {key: attributes[key] for key in expected} == expected
        (event,) = json.loads(row["events"])
        assert event["name"] == "first token"
        assert event["attributes"] == {"ünïcode": "✓", "number": number}
    (ledger,) = server.sql("SELECT accepted, stored, rejected, duplicate FROM ingest_ledger")
    assert ledger == {"accepted": SPANS, "stored": SPANS, "rejected": 0, "duplicate": 0}


@pytest.fixture
def start_agent(fixed_port: Callable[[], int], tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Starts rotel, an agent in Rust, that forwards to an endpoint; gives the address it takes OTLP/gRPC at."""
    package = importlib.util.find_spec("rotel")
    if package is None or package.origin is None:
        pytest.skip("the package rotel is not installed")
    agent = Path(package.origin).with_name("rotel-agent")
    running: list[subprocess.Popen[bytes]] = []

    def start(endpoint: str, protocol: str) -> str:
        port = fixed_port()
        command = [
            str(agent), "start", "--otlp-grpc-endpoint", f"127.0.0.1:{port}",
            "--otlp-http-endpoint", f"127.0.0.1:{fixed_port()}", "--batch-timeout", "100ms", "--exporter", "otlp",
            "--otlp-exporter-endpoint", endpoint, "--otlp-exporter-protocol", protocol,
            "--otlp-exporter-retry-initial-backoff", "200ms", "--otlp-exporter-retry-max-backoff", "500ms",
            "--otlp-exporter-retry-max-elapsed-time", "120s",
        ]  # fmt: skip
        with (tmp_path / "agent.log").open("wb") as log:
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                assert time.monotonic() < deadline, (tmp_path / "agent.log").read_text()
                time.sleep(0.05)
            else:
                return f"127.0.0.1:{port}"

    yield start
    for process in running:
        process.terminate()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_an_agent_that_forwards(
    start_server: Callable[..., Any],
    start_agent: Callable[..., str],
    fixed_port: Callable[[], int],
    otlp: Any,
    protocol: str,
    tmp_path: Path,
) -> None:
    """What an agent took while the server was stopped and started again arrives, all of it and once."""
    options = ("--grpc", f"127.0.0.1:{fixed_port()}", "--http", f"127.0.0.1:{fixed_port()}")
    server = start_server(None, *options)
    endpoint = server.told.grpc if protocol == "grpc" else server.told.http
    agent = start_agent(f"http://{endpoint}", protocol)
    numbers = iter(range(10_000))
    sent = 0

    def send(requests: int) -> None:
        nonlocal sent
        with grpc.insecure_channel(agent) as channel:
            for _ in range(requests):
                trace = (next(numbers) + 1).to_bytes(16, "big")
                TraceServiceStub(channel).Export(otlp.request({"trace_id": trace}, {"trace_id": trace}), timeout=10)
                sent += 2

    def arrived() -> None:
        deadline = time.monotonic() + 60
        while (stored := server.sql("SELECT count(*) AS n FROM spans")[0]["n"]) < sent:
            assert time.monotonic() < deadline, (stored, sent, (tmp_path / "agent.log").read_text())
            time.sleep(0.2)
        assert stored == sent

    for _ in range(2):
        send(50)
        # A request whose connection breaks in the middle is one that this agent gives up.
        arrived()
        assert server.stop() == 0
        send(20)
        time.sleep(0.5)
        server = start_server(server.db, *options)
    send(50)
    arrived()
    assert server.sql("SELECT count(DISTINCT (trace_id, span_id)) AS n FROM spans") == [{"n": sent}]
    (ledger,) = server.sql("SELECT * FROM ingest_ledger")
    assert ledger["accepted"] == ledger["stored"] + ledger["duplicate"]
    assert ledger["stored"] == sent
