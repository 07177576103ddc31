"""A catalog that is reached over TLS, and whose certificate is looked at."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest
import trustme
from click.testing import Result

from sql.lake_address import LakeAddress
from sql.lake_store import LakeStore
from tests.postgres import Postgres, database

Rows = Callable[..., dict[str, pa.Table]]


@pytest.fixture
def authority(postgres: Postgres, tmp_path: Path) -> Iterator[Path]:
    """PostgreSQL with a certificate for 127.0.0.1; the file of who issued it."""
    issuer = trustme.CA()
    issued = issuer.issue_cert("127.0.0.1")
    folder = Path(tempfile.mkdtemp(dir=postgres.folder))
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    issued.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    for part in issued.cert_chain_pems:
        part.write_to_path(certificate, append=True)
    if not os.geteuid():
        for path in (folder, key, certificate):
            os.chown(path, postgres.folder.stat().st_uid, postgres.folder.stat().st_gid)
    settings = {"ssl_key_file": str(key), "ssl_cert_file": str(certificate), "ssl": "on"}
    for name, value in settings.items():
        postgres.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    postgres.execute("SELECT pg_reload_conf()")
    deadline = time.monotonic() + 30
    while postgres.execute("SHOW ssl") != [("on",)]:
        assert time.monotonic() < deadline
    known = tmp_path / "authority.pem"
    issuer.cert_pem.write_to_path(known)
    yield known
    for name in settings:
        postgres.execute(f"ALTER SYSTEM RESET {name}")
    postgres.execute("SELECT pg_reload_conf()")


def over_tls(lake: LakeAddress, authority: Path) -> LakeAddress:
    """The lake's address, with the certificate looked at."""
    return LakeAddress(f"{lake.catalog}?sslmode=verify-full&sslrootcert={quote(str(authority), safe='')}", lake.data)


def test_every_connection_is_encrypted(
    postgres: Postgres, lake: LakeAddress, authority: Path, rows: Rows, cli: Callable[..., Result]
) -> None:
    """The options of the address hold for the rows, for the turns and for commands."""
    encrypted = over_tls(lake, authority)
    in_use = (
        "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
        f" WHERE datname = '{database(lake)}' AND backend_type = 'client backend'"
    )
    with LakeStore(encrypted) as store:
        store.write(rows({"name": "chat"}))
        assert postgres.execute(in_use) == [(True,)]
    asked = cli("sql", "SELECT name FROM spans", "--store", str(encrypted), "--format", "csv")
    assert (asked.exit_code, asked.stdout) == (0, "name\nchat\n")


def test_another_certificate_is_refused(lake: LakeAddress, authority: Path, cli: Callable[..., Result]) -> None:
    """Where somebody else issued it no command goes on, and the sentence says why."""
    trustme.CA().cert_pem.write_to_path(authority)
    refused = cli("sql", "SELECT 1", "--store", str(over_tls(lake, authority)))
    assert refused.exit_code == 4
    assert "certificate verify failed" in refused.stderr
