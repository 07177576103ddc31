"""Exporters for soaks: they send until it is acknowledged, try again, and send now and then what they sent before."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

BEGAN = 1_793_000_000_000_000_000
"""When the first record begins, in Unix nanoseconds."""

RECORDS = {1: 60, 20: 30, 400: 9, 4000: 1}
"""Records of a request → how often of a hundred."""

SENT_AGAIN = {"CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", 408, 429, 502, 503, 504}
"""What of OTLP's retryable statuses may come of ends; CANCELLED is gRPC's own, of a call that meets the shutdown."""

SERVICES = {"traces": "trace.v1.TraceService", "logs": "logs.v1.LogsService"}

GRPC_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 400)]  # fmt: skip


def spans(otlp: Any, service: str, number: int, count: int, *, invalid: bool) -> bytes:
    """Spans named for the request, each with its own number as an attribute; one more is refused if ``invalid``."""
    trace = hashlib.blake2b(f"{service} {number}".encode(), digest_size=16).digest()
    begin = BEGAN + number * 10**6
    sound = [
        {"trace_id": trace, "name": f"{number}", "start_time_unix_nano": begin + n, "attributes": {"n": n}}
        for n in range(count)
    ]
    request = otlp.request(*sound, *[{"trace_id": bytes(16)}] * invalid, service=service)
    payload: bytes = request.SerializeToString()
    return payload


def log_records(otlp: Any, service: str, number: int, count: int, *, invalid: bool) -> bytes:
    """Log records with the request's number as event name, each with its own as body; one more without a time."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.extend(otlp.key_values({"service.name": service}))
    records = resource.scope_logs.add().log_records
    for n in range(count):
        record = records.add(time_unix_nano=BEGAN + number * 10**6 + n, event_name=f"{number}")
        record.body.int_value = n
    if invalid:
        records.add(time_unix_nano=2**64 - 1, event_name="invalid")
    return request.SerializeToString()


@contextlib.contextmanager
def over_grpc(addresses: Sequence[str], kind: str, deadline: float = 5) -> Iterator[Callable[[bytes], object]]:
    """An export call with an exporter's deadline; it returns the status: "OK", or why not.

    Of several addresses each call takes the next, as through a load balancer.
    """
    with contextlib.ExitStack() as channels:
        method = f"/opentelemetry.proto.collector.{SERVICES[kind]}/Export"
        calls = itertools.cycle(
            channels.enter_context(grpc.insecure_channel(address, options=GRPC_OPTIONS)).unary_unary(method)
            for address in addresses
        )

        def export(payload: bytes) -> object:
            try:
                next(calls)(payload, timeout=deadline)
            except grpc.RpcError as error:
                return error.code().name
            return "OK"

        yield export


@contextlib.contextmanager
def over_http(address: str, kind: str) -> Iterator[Callable[[bytes], object]]:
    """A post on a connection that is kept, every other body compressed; it returns 200, or why not."""
    connection = http.client.HTTPConnection(address, timeout=5)
    codings = itertools.cycle(["gzip", "identity"])

    def export(payload: bytes) -> object:
        coding = next(codings)
        body = gzip.compress(payload, 1) if coding == "gzip" else payload
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": coding}
        try:
            connection.request("POST", f"/v1/{kind}", body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            return 503
        return answer.status

    with contextlib.closing(connection):
        yield export


class Sender(threading.Thread):
    """An exporter: sends a request until it is acknowledged, then the next; now and then one that it has sent before.

    Args:
        payload: makes the request of a number.
        connect: a connection, as a function that sends it once and returns the status.
        seed: of its own random numbers.
        ending: set when it is to deliver what it holds and stop.
    """

    def __init__(
        self,
        payload: Callable[..., bytes],
        connect: Callable[[], AbstractContextManager[Callable[[bytes], object]]],
        seed: str,
        ending: threading.Event,
    ) -> None:
        super().__init__(daemon=True)
        self.payload, self.connect, self.seed, self.ending = payload, connect, seed, ending
        self.acknowledged: dict[str, int] = {}
        """Number of each acknowledged request → its valid records."""
        self.accepted = self.rejected = self.retries = 0
        self.unexpected: set[object] = set()

    def run(self) -> None:
        """Send until told to end; what is held then is still delivered."""
        with self.connect() as export:
            self.send_all(export)

    def send_all(self, export: Callable[[bytes], object]) -> None:
        """Deliver one request after another on a connection."""
        own = random.Random(self.seed)  # noqa: S311 (repeatable, not secret)
        while not self.ending.is_set() and not self.unexpected:
            number = len(self.acknowledged)
            if number and own.random() < 0.1:
                number = own.randrange(number)
            shape = random.Random(f"{self.seed} {number}")  # noqa: S311 (the same each time it is sent)
            (count,) = shape.choices(list(RECORDS), list(RECORDS.values()))
            invalid = shape.random() < 0.05
            payload = self.payload(number, count, invalid=invalid)
            while (status := export(payload)) not in {"OK", 200}:
                if status not in SENT_AGAIN:
                    self.unexpected.add(status)
                    return
                self.retries += 1
                time.sleep(own.uniform(0.02, 0.3))
            self.acknowledged[f"{number}"] = count
            self.accepted += count + invalid
            self.rejected += invalid
