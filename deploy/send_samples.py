"""Sends the traces, scores and outcomes of sample_traces to a collector, over OTLP/HTTP, as applications would.

Environment: SPANVERDICT_ENDPOINT, the URL before /v1/traces; SENDER_TOKEN_FILE, a file with the sender's token.
"""

from __future__ import annotations

import gzip
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import as_file, files
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

CONNECTIONS = 8
RETRIED = {429, 502, 503, 504}
"""Statuses after which OTLP/HTTP sends again (OpenTelemetry protocol specification, "Retryable Response Codes")."""

PATIENCE_SECONDS = 60.0


def requests(samples: Path) -> Iterator[tuple[str, bytes]]:
    """Every request of the sample: the path it is posted to, and its body in OTLP's JSON."""
    for path in sorted(samples.glob("*.jsonl.gz")):
        signal = "traces" if ".traces." in path.name else "logs"
        with gzip.open(path, "rb") as lines:
            for line in lines:
                yield f"/v1/{signal}", line


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """Post until it is acknowledged; returns how often it was sent."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    for tries in range(1, 1000):
        try:
            with urlopen(Request(url, body, headers), timeout=15):  # noqa: S310 (the operator's own collector)
                return tries
        except HTTPError as error:
            if error.code not in RETRIED or time.monotonic() > deadline:
                sys.exit(f"{url} answered {error.code}: {error.read().decode(errors='replace')}")
        except (URLError, OSError) as error:
            if time.monotonic() > deadline:
                sys.exit(f"{url} cannot be reached: {error}")
        time.sleep(0.5)
    raise AssertionError


def main() -> None:
    """Send everything and say how much that was."""
    endpoint = os.environ["SPANVERDICT_ENDPOINT"].rstrip("/")
    token = Path(os.environ["SENDER_TOKEN_FILE"]).read_text("utf-8").strip()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    started = time.monotonic()
    with as_file(files("sample_traces")) as samples, ThreadPoolExecutor(CONNECTIONS) as pool:
        sent = [pool.submit(post, endpoint + path, body, headers) for path, body in requests(samples)]
        tries = sum(each.result() for each in sent)
    print(f"{len(sent)} requests acknowledged, {tries - len(sent)} sent again ({time.monotonic() - started:.0f} s).")


if __name__ == "__main__":
    main()
