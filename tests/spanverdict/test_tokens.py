"""Tokens in the configuration, which holds nothing that lets anybody in, and listeners that are open to others."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from collector.credentials import token_hash
from spanverdict.config import ConfigError, load
from spanverdict.config_sections import ServerConfig
from spanverdict.listeners import exposures

HASH = "ab" * 32


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (f"name = 'a'\nsha256 = '{HASH}'\n[[tokens]]\nname = 'a'\nsha256 = '{HASH[::-1]}'", "two have the name 'a'"),
        (f"name = 'a'\nsha256 = '{HASH}'\n[[tokens]]\nname = 'b'\nsha256 = '{HASH.upper()}'", "'a' and 'b' have the"),
        ("name = 'a'\nsha256 = 'my-token'", "'tokens.0.sha256' cannot be used: it is not a SHA-256 in 64 hex digits"),
        (f"name = ''\nsha256 = '{HASH}'", "'tokens.0.name' cannot be used"),
        ("name = 'a'", "'tokens.0.sha256' is missing"),
        (f"name = 'a'\nsha256 = '{HASH}'\nattributes = {{n = 1}}", "'tokens.0.attributes.n' cannot be used"),
        (f"name = 'a'\nsha256 = '{HASH}'\ntoken = 'my-token'", "unknown key 'tokens.0.token'"),
    ],
)
def test_what_is_wrong_with_a_token_is_said_without_repeating_it(workdir: Path, text: str, sentence: str) -> None:
    """One sentence names the key; what may be the token itself is not shown."""
    (workdir / "c.toml").write_text(f"[[tokens]]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load(workdir / "c.toml")
    assert sentence in str(caught.value)
    assert "my-token" not in str(caught.value)


def test_a_new_token_is_shown_once_and_fits_its_lines(workdir: Path, cli: Callable[..., Result]) -> None:
    """The lines are a configuration that knows the token; they do not hold it; names are quoted."""
    name = 'the "shop" é'
    made = cli("token", "new", name)
    assert made.exit_code == 0, made.stderr
    token = made.stderr.splitlines()[0].rpartition(" ")[2]
    assert len(token) >= 43
    assert token not in made.stdout
    (workdir / "c.toml").write_text(made.stdout, "utf-8")
    (configured,) = load(workdir / "c.toml").tokens
    assert (configured.name, configured.sha256) == (name, token_hash(token))
    assert tomllib.loads(made.stdout)["tokens"][0]["name"] == name
    assert cli("token", "new", name).stdout != made.stdout
    assert cli("token", "new", " ").exit_code == 2


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:1", "localhost:1", "127.9.9.9:1"])
def test_loopback_needs_no_warning(workdir: Path, address: str) -> None:
    """Nobody else reaches these."""
    config = load(None).model_copy(update={"server": ServerConfig(grpc=address, http=address, sql=address)})
    assert not list(workdir.iterdir())
    assert list(exposures(config)) == []


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "collector.internal:1"])
def test_each_listener_open_to_others_is_warned_of(workdir: Path, address: str) -> None:
    """The warning names the address, what is missing and where to configure it; what is there is not missed."""
    text = f"[server]\ngrpc = '{address}'\nhttp = '{address}'\nsql = '{address}'\n"
    (workdir / "open.toml").write_text(text)
    warnings = list(exposures(load(workdir / "open.toml")))
    assert len(warnings) == 5
    assert all(address in warning and ("Configure [" in warning or "tunnel" in warning) for warning in warnings)
    tls = "[server.tls]\ncertificate = 'c'\nkey = 'k'\n"
    (workdir / "tls.toml").write_text(text + tls)
    assert [warning.split(" without ")[1].split(":")[0] for warning in exposures(load(workdir / "tls.toml"))] == [
        "tokens", "tokens", "TLS",
    ]  # fmt: skip
    (workdir / "mtls.toml").write_text(text + tls + "client_ca = 'a'\n")
    assert [warning.split()[0] for warning in exposures(load(workdir / "mtls.toml"))] == ["SQL"]


def test_certificates_that_cannot_be_used_end_the_start(workdir: Path, cli: Callable[..., Result]) -> None:
    """One sentence with the file, and a status; nothing listens."""
    (workdir / "spanverdict.toml").write_text("[server.tls]\ncertificate = 'no.pem'\nkey = 'no.key'\n")
    ended = cli(
        "serve", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", "--sql", "127.0.0.1:0", "--monitoring", "127.0.0.1:0"
    )
    assert (ended.exit_code, ended.stderr.splitlines()[-1]) == (
        2, "Error: no.pem cannot be read: No such file or directory.",
    )  # fmt: skip
