"""The way from request bytes into the store, as configured: for the server, and for imports without one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from collector.content import Content
from collector.ingest import Ingest
from collector.ingest_limits import Limits
from collector.redact import Action, ContentPolicy, content_policy
from spanverdict.config import Config, ConfigError
from spanverdict.config_sections import ContentConfig
from sql.address import StoreAddress
from sql.committing_writer import CommittingWriter
from sql.journaled_writer import JournaledWriter
from sql.lake_store import LakeStore
from sql.opened_store import OpenedStore
from sql.store import Store
from sql.telemetry_writer import TelemetryWriter


@dataclass(frozen=True)
class IngestPath:
    """An open store, its writer and the path that feeds it."""

    store: OpenedStore
    writer: TelemetryWriter
    ingest: Ingest


def open_ingest_path(config: Config, address: StoreAddress) -> IngestPath:
    """Open a store, made if absent, and start taking requests.

    What an earlier process left in the journal of a file is loaded first.

    Raises:
        ConfigError: content is to be hashed, and there is no key.
        StoreUnavailableError: the store cannot be opened.
        StoreError: what is left in its journal cannot be loaded.
    """
    content = content_policy_of(config.content)
    limits = Limits() if isinstance(address, Path) else Limits.of_commits()
    limits = replace(
        limits, waiting_bytes=config.ingest.waiting_mib * 2**20, backlog_bytes=config.ingest.backlog_mib * 2**20
    )
    if config.ingest.linger_ms is not None:
        limits = replace(limits, linger_seconds=config.ingest.linger_ms / 1000)
    store, open_writer = _opened(config, address)
    try:
        writer = open_writer()
        ingest = Ingest(writer, limits, writer.last_received_at(), content)
    except BaseException:
        store.close()
        raise
    ingest.start()
    return IngestPath(store, writer, ingest)


def _opened(config: Config, address: StoreAddress) -> tuple[OpenedStore, Callable[[], TelemetryWriter]]:
    """The open store, and what opens the way into it."""
    server = config.server
    if isinstance(address, Path):
        file = Store(address, memory_limit=server.memory_for(address), query_seconds=server.query_seconds)
        return file, lambda: JournaledWriter(file, reserve_bytes=config.ingest.reserve_mib * 2**20)
    lake = LakeStore(address, memory_limit=server.memory_for(address), query_seconds=server.query_seconds)
    return lake, lambda: CommittingWriter(lake)


def content_policy_of(config: ContentConfig) -> ContentPolicy | None:
    """What of content may be stored, as configured; None: all of it.

    Raises:
        ConfigError: content is to be hashed, and there is no key.
    """
    actions: dict[str, str] = {kind: getattr(config, kind) for kind in Content}
    if Action.HASH in actions.values() and config.hash_key is None:
        # Checked here, not with the file: only what stores content needs to know the key.
        raise ConfigError(
            "Content is to be hashed, but 'content.hash_key' is not set; give at least 16 characters that nobody can "
            "guess, such as with SPANVERDICT_CONTENT__HASH_KEY."
        )
    return content_policy(
        actions,
        truncate_characters=config.truncate_characters,
        hash_key=config.hash_key.get_secret_value() if config.hash_key else None,
        attributes=config.attributes,
        patterns=config.patterns,
        custom_patterns=config.custom_patterns,
        unmasked=config.unmasked_attributes,
    )
