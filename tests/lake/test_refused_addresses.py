"""A lake that cannot be opened: one sentence each that says what to do."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from click.testing import Result

from sql.lake_address import LakeAddress
from tests.postgres import LAKES_DUCKDB, Postgres

Cli = Callable[..., Result]
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def refused(cli: Cli, address: object, sentence: str, status: int) -> None:
    """A command on such a store ends so."""
    done = cli("promotion", "list", "--store", str(address))
    assert done.exit_code == status, done.output
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("ducklake:postgresql://spans:s3cret@db/spans?data=/data", "it holds a password, which others would see: set"),
        ("ducklake:postgresql://db/spans?data=/data&password=s3cret", "it holds a password, which others would see"),
        ("ducklake:postgresql://db/spans", "?data=s3://BUCKET/PREFIX"),
        ("ducklake:postgresql://db/spans?data=relative", "?data=s3://BUCKET/PREFIX"),
        ("ducklake:spans.sqlite?data=/data", "a shared store is named ducklake:postgresql://USER@HOST:PORT/DATABASE"),
    ],
)
def test_what_is_no_address(cli: Cli, address: str, sentence: str) -> None:
    """What an address should be; a password in it is not said again."""
    refused(cli, address, sentence, 2)
    assert "s3cret" not in cli("promotion", "list", "--store", address).output


@pytest.mark.skipif(
    duckdb.__version__ == LAKES_DUCKDB and importlib.util.find_spec("duckdb_extension_ducklake") is not None,
    reason="the extra is installed",
)
def test_without_the_extra(cli: Cli) -> None:
    """What to install."""
    refused(cli, "ducklake:postgresql://127.0.0.1:1/x?data=/data", "`pip install 'spanverdict[lake]'`", 4)


def test_another_place_than_the_catalogs(cli: Cli, lake: LakeAddress, tmp_path: Path) -> None:
    """Nobody reads a lake with the files of another one."""
    elsewhere = LakeAddress(lake.catalog, f"{tmp_path}/elsewhere/")
    refused(cli, elsewhere, "names another place for the data than its catalog does", 4)


def test_a_catalog_without_a_lake(cli: Cli, postgres: Postgres, tmp_path: Path) -> None:
    """Only what takes telemetry makes one: a command, be it one that writes, leaves the database as it is."""
    (tmp_path / "f.csv").write_text("time,name,value,key\n2026-11-02,escalated,1,T-1\n")
    postgres.execute("CREATE DATABASE without_a_lake")
    address = LakeAddress(postgres.uri("without_a_lake"), f"{tmp_path}/none/")
    for arguments in (
        ("sql", "SELECT 1"), ("promotion", "end", "p"), ("report", "p"), ("feedback", "import", tmp_path / "f.csv"),
        ("compact",),
    ):  # fmt: skip
        done = cli(*arguments, "--store", address)
        assert (done.exit_code, done.stdout) == (4, ""), done.output
        assert f"There is no store at {address}" in done.stderr
    assert postgres.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", "without_a_lake") == []
    assert not (tmp_path / "none").exists()
    postgres.execute("DROP DATABASE without_a_lake WITH (FORCE)")


def test_a_catalog_that_does_not_answer(cli: Cli, postgres: Postgres, tmp_path: Path) -> None:
    """Which lake it is, and what its catalog said."""
    missing = LakeAddress(postgres.uri("no_such_lake"), f"{tmp_path}/")
    refused(cli, missing, f"There is no database for the catalog of {missing}: make it", 4)
    nobody = LakeAddress("postgresql://lake@127.0.0.1:1/lake", f"{tmp_path}/")
    refused(cli, nobody, "127.0.0.1:1/lake", 4)


@pytest.mark.usefixtures("postgres")
def test_without_the_object_stores_keys(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which variables are missing, and an endpoint that is no URL."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    address = "ducklake:postgresql://127.0.0.1:1/x?data=s3://spans/x"
    refused(cli, address, "keys of the object store are not set: give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", 4)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "s3:9000")
    refused(cli, address, "'s3:9000' is not a URL such as https://s3:9000", 4)
