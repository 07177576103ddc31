"""A stand-in for the provider's HTTP API: OpenAI chat completions over real HTTP on loopback.

It answers each request with the next call of the trace's script, after letting the simulated clock pass by
the call's latency. The transport sends requests for api.openai.com here, so clients are configured as in
production and the spans name the host they name there.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import httpx2

if TYPE_CHECKING:
    from types import TracebackType

    from sample_traces.clock import SimulatedClock
    from sample_traces.plan import ModelCall


@dataclass(frozen=True)
class Reply:
    """What the next request is answered with: the planned call, the provider's id for it and the message."""

    call: ModelCall
    response_id: str
    message: dict[str, Any]


class StandIn:
    """Serves scripted replies on a free loopback port while entered."""

    def __init__(self, clock: SimulatedClock) -> None:
        self.clock = clock
        self.script: deque[Reply] = deque()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.stand_in = self
        self._thread = threading.Thread(target=self._server.serve_forever, name="stand-in", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class LoopbackTransport(httpx2.HTTPTransport):
    """Sends whatever is meant for the provider to the stand-in."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send over plain HTTP to the stand-in; the request as its sender sees it stays as it was."""
        asked = request.url
        request.url = asked.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        try:
            return super().handle_request(request)
        finally:
            request.url = asked


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    stand_in: StandIn


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Without this, Nagle's algorithm and delayed acknowledgement cost 40 ms a request.
    disable_nagle_algorithm = True
    wbufsize = -1
    server: _Server

    def do_POST(self) -> None:
        """Answer a chat completion with the script's next reply."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        stand_in = self.server.stand_in
        if self.path != "/v1/chat/completions" or not stand_in.script:
            self._send(404, {"error": {"message": f"nothing is scripted for {self.path}"}}, "req_none")
            return
        reply = stand_in.script.popleft()
        started = int(time.time())
        stand_in.clock.advance(reply.call.latency_s)
        payload = _completion(reply, body["model"], started) if reply.call.status == 200 else _ERRORS[reply.call.status]
        self._send(reply.call.status, payload, f"req_{reply.response_id.removeprefix('chatcmpl-')}")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Say nothing on stderr."""

    def _send(self, status: int, payload: dict[str, Any], request_id: str) -> None:
        content = json.dumps(payload).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("x-request-id", request_id)
        self.end_headers()
        self.wfile.write(content)


_ERRORS: dict[int, dict[str, Any]] = {
    429: {
        "error": {
            "message": "Rate limit reached for requests per minute. Please try again in 1s.",
            "type": "requests",
            "param": None,
            "code": "rate_limit_exceeded",
        }
    },
    500: {
        "error": {
            "message": "The server had an error while processing your request. Sorry about that!",
            "type": "server_error",
            "param": None,
            "code": None,
        }
    },
}


def _completion(reply: Reply, model: str, created: int) -> dict[str, Any]:
    call = reply.call
    return {
        "id": reply.response_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "refusal": None, **reply.message},
                "logprobs": None,
                "finish_reason": "tool_calls" if call.purpose == "tool" else "stop",
            }
        ],
        "usage": {
            "prompt_tokens": call.input_tokens,
            "completion_tokens": call.output_tokens,
            "total_tokens": call.input_tokens + call.output_tokens,
            "prompt_tokens_details": {"cached_tokens": call.cached_tokens, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "fp_8bda4d3a2c",
    }
