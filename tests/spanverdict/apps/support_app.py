"""A small production app: the OpenTelemetry SDK, a real instrumentation, and a local stand-in for the provider.

It knows nothing of spanverdict: where telemetry goes is said by OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_SERVICE_NAME.
Run: support_app.py INSTRUMENTATION, one of openinference and genai.
"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

MODEL = "ft:gpt-4o-mini-2024-07-18:acme:refunds:1"
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1793000000,
    "model": MODEL,
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Done."}}],
    "usage": {
        "prompt_tokens": 321,
        "completion_tokens": 12,
        "total_tokens": 333,
        "prompt_tokens_details": {"cached_tokens": 128},
        "completion_tokens_details": {"reasoning_tokens": 4},
    },
}


class Provider(BaseHTTPRequestHandler):
    """Answers every chat completion alike."""

    def do_POST(self) -> None:
        """One completion."""
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def main() -> None:
    """Serve three requests of two cohorts and flush."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    if sys.argv[1] == "openinference":
        from openinference.instrumentation.openai import OpenAIInstrumentor  # noqa: PLC0415 (one of the two)
    else:
        from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor  # noqa: PLC0415
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = openai.OpenAI(api_key="none", base_url=f"http://127.0.0.1:{server.server_port}/v1")
    tracer = trace.get_tracer("support-app", tracer_provider=provider)
    for number, cohort in enumerate(("chargeback", "chargeback", "policy_exception")):
        with tracer.start_as_current_span("answer", attributes={"app.cohort": cohort, "user.id": f"user-{number}"}):
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Refund?"}])
    provider.shutdown()
    server.shutdown()


main()
