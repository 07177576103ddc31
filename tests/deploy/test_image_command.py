"""What the image runs, run here: its user, its read-only root, its files, its health check, its stop signal."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sql.access import open_store

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0

SEND = """
import sys
from urllib.request import Request, urlopen
headers = {"Content-Type": "application/json", "Authorization": "Bearer " + sys.argv[1]}
print(urlopen(Request("http://127.0.0.1:4318/v1/traces", sys.argv[2].encode(), headers), timeout=10).status)
"""


class Image:
    """What a Dockerfile says of the container that is started."""

    def __init__(self, path: Path) -> None:
        last = path.read_text("utf-8").rpartition("\nFROM ")[2].replace("\\\n", " ")
        self._last = last
        self.entrypoint: list[str] = self._words("ENTRYPOINT")
        self.command: list[str] = self._words("CMD")
        self.health: list[str] = json.loads(self._line("HEALTHCHECK").partition(" CMD ")[2])
        self.user, self.group = self._line("USER").split(":")
        self.workdir = self._line("WORKDIR")
        self.volume: str = self._words("VOLUME")[0]
        self.stop_signal = signal.Signals[self._line("STOPSIGNAL")]
        self.environment = dict(word.split("=", 1) for word in self._line("ENV").split())
        copied = re.findall(r"^COPY --chmod=\S+ (\S+) (\S+)$", last, re.MULTILINE)
        self.files = {source: target for source, target in copied if target.startswith("/etc/")}
        self.programs = {Path(target).name: source for source, target in copied if target.startswith("/usr/")}

    def _line(self, instruction: str) -> str:
        lines = re.findall(rf"^{instruction} +(.+)$", self._last, re.MULTILINE)
        assert len(lines) == 1, instruction
        return str(lines[0])

    def _words(self, instruction: str) -> list[str]:
        words: list[str] = json.loads(self._line(instruction))
        return words


@pytest.fixture(scope="session")
def image(deploy: Path) -> Image:
    """The image."""
    return Image(deploy / "Dockerfile")


@pytest.fixture
def contained(image: Image, tool: Callable[[str], str], tmp_path: Path) -> list[str]:
    """The command that runs another as in a container of the image: only /tmp and the volume can be written."""
    bubblewrap = tool("bwrap")
    volume = tmp_path / "volume"
    volume.mkdir()
    here = {
        str(path) for path in (ROOT, Path(sys.prefix), Path(sys.base_prefix), *map(Path, sys.path)) if path.exists()
    }
    seen = ["/usr", "/lib", "/lib64", "/bin", "/etc/passwd", "/etc/ssl", *sorted(here)]
    command = [bubblewrap, "--unshare-user", "--unshare-net", "--uid", image.user, "--gid", image.group, "--clearenv"]
    command += [word for path in seen if Path(path).exists() for word in ("--ro-bind", path, path)]
    command += ["--dev", "/dev", "--ro-bind", "/proc", "/proc", "--tmpfs", "/tmp"]  # noqa: S108 (the container's own)
    command += [word for source, target in image.files.items() for word in ("--ro-bind", str(ROOT / source), target)]
    command += ["--ro-bind", str(tmp_path / "secrets"), "/run/secrets", "--bind", str(volume), image.volume]
    command += ["--remount-ro", "/", "--chdir", image.workdir]
    # In the image spanverdict lies beside its Python; here the package of this folder goes first.
    environment = image.environment | {"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"}
    environment |= {"PYTHONPATH": str(ROOT), "SPANVERDICT_TOKENS_FILE": "/run/secrets/tokens"}
    return command + [word for name, value in environment.items() for word in ("--setenv", name, value)]


def test_the_images_command_serves_as_its_user_on_a_read_only_root(
    image: Image, contained: list[str], tool: Callable[[str], str], tmp_path: Path
) -> None:
    """It starts without home and rights, takes a span with a token from a file, is healthy, and stops cleanly."""
    enter = tool("nsenter")
    token = "drawn-for-this-test"
    (tmp_path / "secrets").mkdir()
    known = [{"name": "test", "sha256": hashlib.sha256(token.encode()).hexdigest()}]
    (tmp_path / "secrets" / "tokens").write_text(json.dumps(known), "utf-8")
    span = {"traceId": "1" * 32, "spanId": "2" * 16, "name": "kept", "startTimeUnixNano": "1793000000000000000",
            "endTimeUnixNano": "1793000001000000000"}  # fmt: skip
    request = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    started = [str(ROOT / image.programs[image.entrypoint[0]]), *image.command]
    log = tmp_path / "log"
    with log.open("wb") as output, subprocess.Popen([*contained, *started], stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + START_SECONDS
            while "Receiving" not in log.read_text("utf-8"):
                assert process.poll() is None, log.read_text("utf-8")
                assert time.monotonic() < deadline, log.read_text("utf-8")
                time.sleep(0.05)
            inside = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text("ascii"))
            enter_it = [enter, "--target", str(inside), "--user", "--preserve-credentials", "--net", sys.executable]

            def run(command: list[str]) -> subprocess.CompletedProcess[str]:
                assert command[0] == "python"
                return subprocess.run(
                    [*enter_it, *command[1:]], capture_output=True, text=True, timeout=30, check=False
                )

            healthy = run(image.health)
            assert healthy.returncode == 0, healthy.stderr
            assert run(["python", "-I", "-c", SEND, token, request]).stdout == "200\n"
            assert "401" in run(["python", "-I", "-c", SEND, "another", request]).stderr
            os.kill(inside, image.stop_signal)
            assert process.wait(timeout=60) == 0, log.read_text("utf-8")
        finally:
            process.kill()
    with open_store(tmp_path / "volume" / "spanverdict.duckdb") as store:
        assert store.read("SELECT name FROM spans").column("name").to_pylist() == ["kept"]


def test_a_secret_that_cannot_be_read_is_one_sentence(deploy: Path) -> None:
    """The entry point names the variable and the file, and starts nothing."""
    refused = subprocess.run(
        [deploy / "entrypoint.sh", "serve"], env={"PATH": "/usr/bin:/bin", "PGPASSWORD_FILE": "/run/secrets/absent"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 2
    assert refused.stdout == ""
    named = "spanverdict: PGPASSWORD_FILE names /run/secrets/absent, which cannot be read; mount it, readable for user "
    assert re.fullmatch(re.escape(named) + r"\d+\.\n", refused.stderr)


def test_secrets_of_files_become_variables(deploy: Path, tmp_path: Path) -> None:
    """Every variable that the store and the configuration read may come from a file; other …_FILE variables stay."""
    for name in ("password", "key"):
        (tmp_path / name).write_text(f"{name} with $signs 'and' quotes\n", "utf-8")
    stand_in = tmp_path / "spanverdict"
    stand_in.write_text("#!/bin/sh\nenv\n", "utf-8")
    stand_in.chmod(0o755)
    given = {
        "PATH": f"{tmp_path}:/usr/bin:/bin", "PGPASSWORD_FILE": str(tmp_path / "password"), "SSL_CERT_FILE": "/kept",
        "SPANVERDICT_CONTENT__HASH_KEY_FILE": str(tmp_path / "key"),
    }  # fmt: skip
    ran = subprocess.run([deploy / "entrypoint.sh"], env=given, capture_output=True, text=True, check=True)
    found = dict(line.split("=", 1) for line in ran.stdout.splitlines())
    assert found["PGPASSWORD"] == "password with $signs 'and' quotes"
    assert found["SPANVERDICT_CONTENT__HASH_KEY"] == "key with $signs 'and' quotes"
    assert [name for name in found if name.endswith("_FILE")] == ["SSL_CERT_FILE"]
