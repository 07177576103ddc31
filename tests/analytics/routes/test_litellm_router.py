"""LiteLLM's own router, from our file, against an OpenAI-compatible stand-in on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from analytics.routes.formats import render
from analytics.routes.model import ModelTarget

SCRIPT = Path(__file__).parent / "litellm_router.py"
HOSTILE = 'say "no", $HOME & !default\n- x: ^.*$'


@dataclass
class StandIn:
    """Answers with the name of the model that was asked for; a message "fail" makes the tuned model fail."""

    address: str = ""
    requests: Counter[str] = field(default_factory=Counter)

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one chat completion."""
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        model = body["model"]
        self.requests[model] += 1
        failed = model.startswith("ft:") and body["messages"][-1]["content"] == "fail"
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": model}}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        told = {
            "id": "c",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [choice],
            "usage": usage,
        }
        data = json.dumps({"error": {"message": "down"}} if failed else told).encode()
        request.send_response(500 if failed else 200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        request.wfile.write(data)


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A provider on a free loopback port."""
    made = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.handle(self)

        def log_message(self, *_: object) -> None:
            """Keep standard error for what matters."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.address = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield made
        server.shutdown()
        thread.join()


def test_cohorts_go_where_the_plan_says(plans: Any, stand_in: StandIn, tmp_path: Path) -> None:
    """Chargeback goes to the tuned model, policy_exception to the base; shares, mirror and fallback hold."""
    base, tuned = plans.base, plans.candidate
    targets = {
        model: ModelTarget(
            model, {"model": f"openai/{model}", "api_base": stand_in.address, "api_key": "os.environ/KEY"}
        )
        for model in (base, tuned)
    }
    settings = replace(plans.settings(), models=targets)
    shares = {"chargeback": 1.0, "policy_exception": 0.0, "gift_card": 0.25, HOSTILE: 1.0, "late": 0.0}
    plan = plans.plan(shares, mirror_rates={"late": 0.5})
    config = tmp_path / "litellm.yaml"
    present = "router_settings:\n  num_retries: 0  # the test's\n"
    config.write_text(render(plan, "litellm", settings, present).text, "utf-8")
    cases: list[dict[str, Any]] = [
        {"tags": ["cohort:chargeback"], "times": 5},
        {"tags": ["cohort:policy_exception", "team:a"], "times": 5},
        {"tags": ["cohort:gift_card"], "times": 120},
        {"tags": [f"cohort:{HOSTILE}"], "times": 5},
        {"tags": ["cohort:unheard of"], "times": 5},
        {"tags": None, "times": 5},
        {"tags": ["cohort:late"], "times": 60},
        {"tags": ["cohort:chargeback"], "times": 1, "content": "fail"},
    ]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", SCRIPT],
        input=json.dumps({"config": str(config), "cases": cases}),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KEY": "not a secret", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    chargeback, exception, gift_card, hostile, unheard, untagged, late, failed = found
    assert chargeback == {tuned: 5}
    assert exception == {base: 5}
    # 120 draws at a quarter: five standard deviations around 30.
    assert 6 < gift_card[tuned] < 54
    assert hostile == {tuned: 5}
    assert unheard == untagged == {base: 5}
    assert late == {base: 60}
    assert failed == {base: 1}
    mirrored = stand_in.requests[tuned] - 5 - gift_card[tuned] - 5 - 1
    # 60 draws at a half: five standard deviations around 30.
    assert 10 < mirrored < 50
