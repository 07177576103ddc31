"""Checking JSON against JSON Schemas, bounded in time: whatever the schema says."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MOST_BYTES = 4 * 2**20
"""Bytes of an answer and a schema together that are checked."""

MOST_OVERRUNS = 3
"""How often one schema may take too long before it is not tried again."""

_ROOT = Path(__file__).parents[2]
_STARTUP_SECONDS = 60.0


@dataclass(frozen=True)
class Checked:
    """What a check came to.

    Attributes:
        valid: whether the text is JSON that follows the schema; None where that cannot be said.
        reason: why not, or why it cannot be said.
    """

    valid: bool | None
    reason: str | None = None


class SchemaChecker:
    """Checks texts in a process of its own, which is ended when one takes too long; a context manager.

    Args:
        seconds: how long one check may take.
    """

    def __init__(self, seconds: float = 2.0) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._overrun: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._process:
            process, self._process = self._process, None
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    pipe.close()
            process.wait()

    def check(self, text: str, schema: Any) -> Checked:  # noqa: ANN401 (JSON)
        """Say whether a text is JSON that follows a schema.

        Args:
            text: what should be JSON.
            schema: a JSON Schema, of any draft; one that refers to another document is not followed there.
        """
        try:
            schema_text = json.dumps(schema)
        except RecursionError:
            return Checked(None, "the schema is nested too deeply")
        request = json.dumps([text, schema_text]).encode() + b"\n"
        if len(request) > MOST_BYTES:
            return Checked(None, "answer and schema are too large")
        too_long = Checked(None, f"checking it takes longer than {self._seconds:g} s, or too much memory")
        if self._overrun[schema_text] >= MOST_OVERRUNS:
            return too_long
        answer = self._ask(request)
        if answer is None:
            self._overrun[schema_text] += 1
            self.close()
            return too_long
        found: dict[str, str] = json.loads(answer)
        if "unusable" in found:
            return Checked(None, found["unusable"])
        return Checked(found["valid"] == "yes", found.get("reason"))

    def _ask(self, request: bytes) -> bytes | None:
        """The worker's line; None if it does not answer in time or ends."""
        if self._process is None:
            self._process = self._started()
            # Its start is not the fault of what is checked.
            if self._exchange(b'["1","true"]\n', _STARTUP_SECONDS) is None:
                raise RuntimeError("The process that checks JSON Schemas does not start.")
        return self._exchange(request, self._seconds)

    def _started(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        # In a group of its own: Ctrl-C is for the command, which then ends it.
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "analytics.evaluate.schema_worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip
        for pipe in (process.stdin, process.stdout):
            if pipe:
                os.set_blocking(pipe.fileno(), False)
        return process

    def _exchange(self, request: bytes, seconds: float) -> bytes | None:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return None
        deadline = time.monotonic() + seconds
        unsent, answer = memoryview(request), b""
        to_worker, from_worker = process.stdin.fileno(), process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(to_worker, selectors.EVENT_WRITE)
            selector.register(from_worker, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    try:
                        if key.fd == to_worker:
                            unsent = unsent[os.write(to_worker, unsent[:65_536]) :]
                            if not unsent:
                                selector.unregister(to_worker)
                        else:
                            piece = os.read(from_worker, 65_536)
                            answer += piece
                            if not piece:
                                return None
                    except BlockingIOError:
                        continue
                    except OSError:
                        return None
                if answer.endswith(b"\n"):
                    return answer
        return None
