"""The way from request bytes into the store, as configured: for the server, and for imports without one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from collector.content import Content
from collector.ingest import Ingest, Limits
from collector.redact import Action, ContentPolicy, content_policy
from spanverdict.config import Config, ConfigError
from spanverdict.config_sections import ContentConfig
from sql.journaled_writer import JournaledWriter
from sql.store import Store


@dataclass(frozen=True)
class IngestPath:
    """An open store, its writer and the path that feeds it."""

    store: Store
    writer: JournaledWriter
    ingest: Ingest


def open_ingest_path(config: Config, path: Path) -> IngestPath:
    """Open a store, made if absent, load what an earlier process left in its journal, and start taking requests.

    Raises:
        ConfigError: content is to be hashed, and there is no key.
        StoreUnavailableError: the store cannot be opened.
        StoreError: what is left in its journal cannot be loaded.
    """
    content = content_policy_of(config.content)
    limits = Limits(
        waiting_bytes=config.ingest.waiting_mib * 2**20,
        backlog_bytes=config.ingest.backlog_mib * 2**20,
        linger_seconds=config.ingest.linger_ms / 1000,
    )
    store = Store(path, memory_limit=config.server.memory_limit, query_seconds=config.server.query_seconds)
    try:
        writer = JournaledWriter(store, reserve_bytes=config.ingest.reserve_mib * 2**20)
        ingest = Ingest(writer, limits, writer.last_received_at(), content)
    except BaseException:
        store.close()
        raise
    ingest.start()
    return IngestPath(store, writer, ingest)


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
