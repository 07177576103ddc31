"""The load balancer of Debian with the deployment's own configuration, before two real collectors."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from collector.sender import Sender
from sql.access import open_store

COLLECTORS = ("127.0.0.1", "127.0.0.2")
PATIENCE_SECONDS = 60.0


@contextmanager
def names(addresses: list[str]) -> Iterator[int]:
    """A DNS server that knows these IPv4 addresses for every name, as Docker's and Kubernetes' do; its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def run() -> None:
            while True:
                query, client = server.recvfrom(4096)
                if not query:
                    return
                # RFC 1035, section 4.1: the question as it came, then one record of type A for each address.
                question = query[12 : query.index(b"\0", 12) + 5]
                is_a = question[-4:] == b"\0\1\0\1"
                found = [socket.inet_aton(address) for address in addresses] if is_a else []
                header = query[:2] + b"\x81\x80\0\1" + len(found).to_bytes(2, "big") + b"\0\0\0\0"
                records = b"".join(b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + address for address in found)
                server.sendto(header + question + records, client)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.sendto(b"", server.getsockname())
            thread.join()


def ask(address: str, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
    """Status and text of an answer; 0 where nobody answers."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace")
    except OSError:
        return 0, ""
    finally:
        connection.close()


def accepted(monitoring: str) -> int:
    """Spans that a collector has acknowledged."""
    text = ask(monitoring, "GET", "/metrics")[1]
    found = re.search(r'^spanverdict_records_accepted_total\{signal="traces"\} (\S+)$', text, re.MULTILINE)
    return int(float(found[1])) if found else 0


def stored(path: Path) -> set[str]:
    """The names of the spans in a store whose server has ended."""
    with open_store(path) as store:
        return set(store.read("SELECT name FROM spans").column("name").to_pylist())


def moved(text: str, ports: dict[str, int], front: dict[str, int], dns: int) -> str:
    """The load balancer's configuration with other ports of the collectors, of its own, and of its DNS server."""
    text = re.sub(r"bind :(\d+)", lambda found: f"bind 127.0.0.1:{front[found[1]]}", text)
    text = re.sub(r'("\$\{COLLECTORS\}:)(\d+)"', lambda found: f'{found[1]}{ports[found[2]]}"', text)
    text = text.replace("port 4320", f"port {ports['4320']}")
    return text.replace("parse-resolv-conf", f"nameserver here 127.0.0.1:{dns}")


@pytest.mark.slow
def test_requests_reach_every_collector_and_survive_the_death_of_one(
    deploy: Path,
    tool: Callable[[str], str],
    start_server: Callable[..., Any],
    fixed_port: Callable[[], int],
    otlp: Any,
    tmp_path: Path,
) -> None:
    """One gRPC connection reaches both collectors; when one is killed, clients that retry lose nothing acknowledged."""
    haproxy = tool("haproxy")
    ports = {port: fixed_port() for port in ("4317", "4318", "4320")}
    front = {port: fixed_port() for port in ("4317", "4318", "8404")}
    servers = [
        start_server(
            tmp_path / f"{address}.duckdb",
            *(text for name, port in (("grpc", "4317"), ("http", "4318"), ("monitoring", "4320"))
              for text in (f"--{name}", f"{address}:{ports[port]}")),
        )
        for address in COLLECTORS
    ]  # fmt: skip
    health = f"127.0.0.1:{front['8404']}"
    pages = [f"{address}:{ports['4320']}" for address in COLLECTORS]
    with names(list(COLLECTORS)) as dns:
        configuration = tmp_path / "haproxy.cfg"
        configuration.write_text(
            moved((deploy / "load-balancer" / "haproxy.cfg").read_text("utf-8"), ports, front, dns)
        )
        command = [haproxy, "-db", "-f", str(configuration)]
        with subprocess.Popen(command, env={"COLLECTORS": "collector"}, stdout=subprocess.DEVNULL) as balancer:
            try:
                deadline = time.monotonic() + PATIENCE_SECONDS
                sent = 0
                with Sender(f"127.0.0.1:{front['4317']}") as sender:

                    def send() -> None:
                        nonlocal sent
                        trace_id = (sent + 1).to_bytes(16, "big")
                        sender.send(otlp.request({"trace_id": trace_id, "name": f"request-{sent}"}))
                        sent += 1

                    while not all(accepted(page) for page in pages):
                        assert time.monotonic() < deadline, balancer.poll()
                        send()
                        time.sleep(0.05)
                    assert sum(accepted(page) for page in pages) == sent
                    killer = threading.Timer(0.3, servers[1].stop, [signal.SIGKILL])
                    killer.start()
                    while killer.is_alive() or sent < 60:
                        send()
                    killer.join()
                last = otlp.request({"trace_id": (sent + 1).to_bytes(16, "big"), "name": f"request-{sent}"})
                body = last.SerializeToString()
                assert ask(f"127.0.0.1:{front['4318']}", "POST", "/v1/traces", body)[0] == 200
                assert ask(health, "GET", "/") == (200, "ready")
                assert servers[0].stop() == 0
                deadline = time.monotonic() + PATIENCE_SECONDS
                while ask(health, "GET", "/")[0] != 503:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            finally:
                balancer.terminate()
    assert servers[1].process.returncode == -signal.SIGKILL
    found = stored(tmp_path / "127.0.0.1.duckdb") | stored(tmp_path / "127.0.0.2.duckdb")
    assert found == {f"request-{number}" for number in range(sent + 1)}
