"""Whose turn it is to write to a lake, and when that was: PostgreSQL's advisory locks, in the lake's own catalog.

Writers take turns, so that the write that passes repeated spans over sees every earlier one, whichever collector made
it. DuckLake's commits are one after another in any case: a turn only makes the others wait instead of trying again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from sql.errors import StoreError, StoreFailedError, StoreUnavailableError
from sql.lake_address import LakeAddress

if TYPE_CHECKING:
    import psycopg

_WRITING = 0x5370616E0001

TASKS = 0x5370616E0002
"""The right to do what one process at a time does for a lake: deriving, schedules, alerts, retention."""

UPKEEP = 0x5370616E0003
"""The right to merge a lake's files and remove what nobody needs: of two that merge one would work for nothing.

These are numbers of advisory locks; other programs that use the same database have others."""

WAIT_SECONDS = 8
"""How long a writer waits for its turn: less than the ten seconds that exporters wait for an answer."""

HOLD_SECONDS = 120
"""How long a turn may be taken without a word to the catalog; a writer that hangs loses it then."""

_CONNECT_SECONDS = 5

_LONGEST_NAME = 63
"""PostgreSQL cuts what is longer off."""


def connected(address: LakeAddress) -> psycopg.Connection:
    """A connection to a lake's catalog, each statement a transaction; PostgreSQL shows whose it is.

    Raises:
        StoreUnavailableError: it cannot be reached, or psycopg is not installed.
    """
    try:
        import psycopg  # noqa: PLC0415 (of the extra `lake`)
    except ImportError as error:
        raise StoreUnavailableError(
            "A shared store needs psycopg: install it with `pip install 'spanverdict[lake]'`."
        ) from error
    try:
        return psycopg.connect(
            address.catalog, autocommit=True, connect_timeout=_CONNECT_SECONDS,
            application_name=f"spanverdict {os.getpid()} on {socket.gethostname()}"[:_LONGEST_NAME],
            # A writer whose machine is gone is noticed after 25 seconds.
            keepalives_idle=10, keepalives_interval=5, keepalives_count=3,
        )  # fmt: skip
    except psycopg.Error as error:
        raise StoreUnavailableError(f"The catalog of {address} cannot be reached: {_line(error)}.") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")


class Turn:
    """A turn that is taken.

    Attributes:
        stamp: its moment (UTC, naive): later than that of every turn before, whatever the clocks say.
    """

    def __init__(self, connection: psycopg.Connection, stamp: datetime) -> None:
        self._connection = connection
        self.stamp = stamp

    def check(self) -> None:
        """Whether it is still ours.

        Raises:
            StoreFailedError: it is not, so nothing may be committed.
        """
        import psycopg  # noqa: PLC0415 (as above)

        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error as error:
            raise StoreFailedError(f"The turn to write was lost before the commit: {_line(error)}.") from error

    def advance(self, moment: datetime) -> None:
        """Let the stamps of later turns be later than a moment (UTC, naive)."""
        self._connection.execute("UPDATE spanverdict_stamps SET at = greatest(at, %s)", [moment])


class Turns:
    """Turns to write to one lake.

    Args:
        address: the lake.
    """

    def __init__(self, address: LakeAddress) -> None:
        self._address = address
        self._once = threading.Lock()
        self._connection: psycopg.Connection | None = None

    @contextlib.contextmanager
    def taken(self) -> Iterator[Turn]:
        """Wait for the turn and take it.

        Raises:
            StoreUnavailableError: the catalog cannot be reached.
            StoreError: the turn did not come in time.
        """
        import psycopg  # noqa: PLC0415 (as above)

        with self._once:
            connection = self._open()
            try:
                with connection.transaction():
                    connection.execute(f"SELECT pg_advisory_xact_lock({_WRITING})")
                    yield Turn(connection, self._stamp(connection))
            except psycopg.errors.LockNotAvailable as error:
                raise StoreError(
                    f"Other writers kept {self._address} busy for {WAIT_SECONDS} s; this was not written."
                ) from error
            except psycopg.Error as error:
                self._connection = None
                connection.close()
                raise StoreUnavailableError(f"The catalog of {self._address} went away: {_line(error)}.") from error

    def is_made(self) -> bool:
        """Whether the catalog holds a lake already, be it an empty one.

        Raises:
            StoreUnavailableError: the catalog cannot be reached.
        """
        import psycopg  # noqa: PLC0415 (as above)

        with self._once:
            try:
                row = self._open().execute("SELECT to_regclass('ducklake_metadata')").fetchone()
            except psycopg.Error as error:
                raise StoreUnavailableError(f"The catalog of {self._address} went away: {_line(error)}.") from error
        return row != (None,)

    def close(self) -> None:
        """End the connection to the catalog."""
        with self._once:
            if self._connection:
                self._connection.close()
                self._connection = None

    def _open(self) -> psycopg.Connection:
        import psycopg  # noqa: PLC0415 (as above)

        if self._connection and not self._connection.closed:
            return self._connection
        connection = connected(self._address)
        connection.execute(f"SET lock_timeout = '{WAIT_SECONDS}s'")
        # PostgreSQL itself ends the session of a writer that hangs, and with it the turn.
        connection.execute(f"SET idle_in_transaction_session_timeout = '{HOLD_SECONDS}s'")
        # A stamp that a crash of the catalog loses is behind the clock by then.
        connection.execute("SET synchronous_commit = off")
        if connection.execute("SELECT to_regclass('spanverdict_stamps')").fetchone() == (None,):
            with contextlib.suppress(psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable):
                # Whoever is second where two make it has it.
                connection.execute("CREATE TABLE IF NOT EXISTS spanverdict_stamps (at TIMESTAMP NOT NULL)")
        self._connection = connection
        return connection

    @staticmethod
    def _stamp(connection: psycopg.Connection) -> datetime:
        now = "clock_timestamp() AT TIME ZONE 'UTC'"
        row = connection.execute(
            f"UPDATE spanverdict_stamps SET at = greatest({now}, at + INTERVAL '1 microsecond') RETURNING at"
        ).fetchone()
        row = row or connection.execute(f"INSERT INTO spanverdict_stamps VALUES ({now}) RETURNING at").fetchone()
        assert row  # noqa: S101 (RETURNING of one row)
        stamp: datetime = row[0]
        return stamp


class Leadership:
    """The right to do what one process at a time does for a lake.

    It is held by the connection: whoever dies loses it.

    Args:
        address: the lake.
        right: TASKS or UPKEEP.
    """

    def __init__(self, address: LakeAddress, right: int = TASKS) -> None:
        self._address = address
        self._right = right
        self._connection: psycopg.Connection | None = None

    def held(self) -> bool:
        """Whether it is ours, taken now if nobody has it.

        Raises:
            StoreUnavailableError: the catalog cannot be reached, so it is not.
        """
        import psycopg  # noqa: PLC0415 (as above)

        try:
            if self._connection is None:
                self._connection = connected(self._address)
                row = self._connection.execute(f"SELECT pg_try_advisory_lock({self._right})").fetchone()
                if row != (True,):
                    self.release()
            else:
                self._connection.execute("SELECT 1")
        except psycopg.Error as error:
            self.release()
            raise StoreUnavailableError(f"The catalog of {self._address} went away: {_line(error)}.") from error
        return self._connection is not None

    def release(self) -> None:
        """Let another process have it."""
        if self._connection:
            self._connection.close()
            self._connection = None
