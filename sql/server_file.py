"""The file beside a store that says where its server is, and with which token it is reached."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from sql.errors import StoreUnavailableError


@dataclass(frozen=True)
class ServerFile:
    """What a running server leaves beside its store, for its owner's eyes only.

    Attributes:
        pid: the server's process.
        grpc: its OTLP/gRPC address, host:port.
        http: its OTLP/HTTP address, host:port.
        monitoring: the address of its health and metrics pages, host:port.
        sql: its Flight SQL address, host:port.
        token: what Flight SQL calls must present.
    """

    pid: int
    grpc: str
    http: str
    monitoring: str
    sql: str
    token: str

    def write(self, store: Path) -> Path:
        """Write the file with owner-only permissions, whole or not at all."""
        path = server_file(store)
        draft = path.with_suffix(f".{self.pid}.tmp")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
            file.flush()
            # Else a power failure may leave the name without the content.
            os.fsync(file.fileno())
        draft.replace(path)
        return path

    @classmethod
    def read(cls, store: Path) -> ServerFile | None:
        """The server of a store; None if there is none or it died without cleaning up."""
        try:
            found = cls(**json.loads(server_file(store).read_text("utf-8")))
            os.kill(found.pid, 0)
        except (FileNotFoundError, ProcessLookupError):
            return None
        except PermissionError as error:
            raise StoreUnavailableError(
                f"{server_file(store)} belongs to another user, who runs the server of {store}."
            ) from error
        except (ValueError, TypeError) as error:
            raise StoreUnavailableError(
                f"{server_file(store)} is damaged: remove it and restart the server."
            ) from error
        return found


def server_file(store: Path) -> Path:
    """Where the server of a store says how to reach it."""
    return store.with_name(store.name + ".server.json")
