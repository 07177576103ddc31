"""What of a request's content may reach the disk: applied to the decoded columns, before anything is written.

Content is kept, cut, replaced by a keyed hash or left out, by its kind (collector.content); what remains, and every
other text, is searched for secrets and personal data (collector.masking).
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from collector.any_value import AnyValues, AttributeLists, Indices
from collector.content import (
    LONGEST_SETTING,
    MEMBERS_READ,
    REDUCED,
    SETTINGS,
    UNMASKED,
    Content,
    Kinds,
    kinds_of_attribute,
    kinds_of_body,
    kinds_of_event,
    tells_of_the_call,
    tells_people_apart,
)
from collector.decode import EventColumns, LogColumns, SpanColumns
from collector.literals import FALSE, concatenate, integer
from collector.masked_values import mask_values
from collector.masking import Marks, Masker
from collector.normalize import event_names
from collector.wire_values import KINDS

HASH_BYTES = 16
HASH_KEY_BYTES = 32

Counts = Counter[str]


class Action(StrEnum):
    """What is done with content, by its name in the configuration; from the mildest to the strictest."""

    KEEP = "keep"
    TRUNCATE = "truncate"
    HASH = "hash"
    DROP = "drop"


_ACTIONS = tuple(Action)
_KEEP, _TRUNCATE, _HASH, _DROP = range(len(_ACTIONS))

_Actions = npt.NDArray[np.int8]


@dataclass(frozen=True)
class ContentPolicy:
    """What may be stored of content, and what is searched for in all texts.

    Attributes:
        actions: what is done with each kind of content; a kind that is not named is kept.
        truncate_characters: how many characters (code points) of a text remain where it is cut.
        hash_key: secret of the hashes; whoever has it can test guesses against them. One is drawn where none is given.
        attributes: further attributes and events that hold prompts; one that ends in ``*`` stands for all that begin
            so.
        masker: the patterns that are searched for; None searches for nothing.
        unmasked: further attributes that patterns pass over.
    """

    actions: Mapping[Content, Action] = field(default_factory=dict)
    truncate_characters: int = 2000
    hash_key: bytes = field(default_factory=lambda: secrets.token_bytes(HASH_KEY_BYTES), repr=False)
    attributes: tuple[str, ...] = ()
    masker: Masker | None = None
    unmasked: frozenset[str] = frozenset()

    @property
    def changes_nothing(self) -> bool:
        """Whether everything is stored as it comes."""
        return self.masker is None and all(action is Action.KEEP for action in self.actions.values())

    def apply_to_spans(self, spans: SpanColumns) -> tuple[SpanColumns, Counts]:
        """Spans as they may be stored: their attributes, status messages, events, links and resources.

        Returns:
            The spans, and how many values were truncated, hashed, dropped, and masked by each pattern
            (``masked:NAME``).
        """
        counts: Counts = Counter()
        fields = dict(spans.fields)
        fields["status_message"] = self._masked_texts(fields["status_message"], counts)
        events = spans.events
        return replace(
            spans,
            envelope=replace(spans.envelope, resources=self._attributes(spans.envelope.resources, counts)),
            fields=fields,
            attributes=self._attributes(spans.attributes, counts),
            events=replace(events, attributes=self._attributes(events.attributes, counts, self._of_events(events))),
            links=replace(spans.links, attributes=self._attributes(spans.links.attributes, counts)),
        ), counts

    def apply_to_logs(self, logs: LogColumns) -> tuple[LogColumns, Counts]:
        """Log records as they may be stored: their bodies, attributes and resources; returns as for spans."""
        counts: Counts = Counter()
        names = event_names(logs)
        of_events = self._by_name(names, kinds_of_event)
        return replace(
            logs,
            envelope=replace(logs.envelope, resources=self._attributes(logs.envelope.resources, counts)),
            body=self._bodies(logs.body, self._by_name(names, kinds_of_body), counts),
            attributes=self._attributes(logs.attributes, counts, of_events),
        ), counts

    def apply_to_feedback(self, rows: pa.Table) -> tuple[pa.Table, Counts]:
        """Feedback as it may be stored: its labels, comments and attributes; returns as for spans.

        Args:
            rows: ``label``, ``comment`` and ``attributes`` (JSON objects), and others, which stay as they are.
        """
        counts: Counts = Counter()
        columns = {name: self._masked_texts(rows[name].combine_chunks(), counts) for name in ("label", "comment")}
        objects = _attribute_lists([json.loads(text) for text in rows["attributes"].to_pylist()])
        columns["attributes"] = self._attributes(objects, counts).json_objects()
        for name, column in columns.items():
            rows = rows.set_column(rows.column_names.index(name), name, column)
        return rows, counts

    @cached_property
    def _key(self) -> bytes:
        return hashlib.blake2b(self.hash_key).digest()

    def _action(self, kinds: Kinds) -> int:
        """The strictest of what is done with the kinds."""
        return max((_ACTIONS.index(self.actions.get(kind, Action.KEEP)) for kind in kinds), default=_KEEP)

    def _of_events(self, events: EventColumns) -> _Actions:
        return self._by_name(events.name, kinds_of_event)

    def _by_name(self, names: pa.Array, kinds: Callable[[str, tuple[str, ...]], Kinds]) -> _Actions:
        encoded = names.dictionary_encode()
        known = [self._action(kinds(name, self.attributes)) for name in encoded.dictionary.to_pylist()]
        codes = pc.fill_null(encoded.indices, integer(len(known), pa.int32())).to_numpy(zero_copy_only=False)
        actions: _Actions = np.array([*known, _KEEP], np.int8)[codes]
        return actions

    def _attributes(self, lists: AttributeLists, counts: Counts, of_owners: _Actions | None = None) -> AttributeLists:
        """Attributes as they may be stored; ``of_owners`` is what is done with those that are an event's own."""
        names = lists.keys.dictionary.to_pylist()
        codes = lists.keys.indices.to_numpy(zero_copy_only=False)
        by_name = [self._action(kinds_of_attribute(name, self.attributes)) for name in names]
        actions = np.array(by_name, np.int8)[codes]
        if of_owners is not None and of_owners.any():
            own = np.array([not tells_of_the_call(name) for name in names], bool)[codes]
            actions = np.maximum(actions, np.where(own, of_owners[lists.owners], _KEEP))
        values = lists.values
        for name in REDUCED.intersection(names):
            values, actions = self._reduced(values, actions, codes == names.index(name), name, counts)
        dropped = actions == _DROP
        if dropped.any():
            counts["dropped"] += int(dropped.sum())
            kept = np.flatnonzero(~dropped)
            offsets = np.concatenate(([0], np.cumsum(~dropped)))[lists.offsets].astype(np.int32)
            lists = AttributeLists(offsets, lists.keys.take(pa.array(kept)), values)
            values, actions, codes = _taken(values, kept), actions[kept], codes[kept]
        values = self._hashed(values, actions == _HASH, counts)
        if self.masker:
            open_to = np.array([name not in UNMASKED and name not in self.unmasked for name in names], bool)[codes]
            users = np.array([tells_people_apart(name) for name in names], bool)[codes]
            values = self._masked(values, open_to & (actions != _HASH), users, counts)
        values = self._truncated(values, actions == _TRUNCATE, counts)
        return lists if values is lists.values else AttributeLists(lists.offsets, lists.keys, values)

    def _bodies(self, values: AnyValues, actions: _Actions, counts: Counts) -> AnyValues:
        dropped = (actions == _DROP) & _present(values)
        if dropped.any():
            counts["dropped"] += int(dropped.sum())
            values = _with_texts(values, dropped, pa.nulls(int(dropped.sum()), pa.string()))
        values = self._hashed(values, (actions == _HASH) & _present(values), counts)
        if self.masker:
            values = self._masked(values, actions != _HASH, None, counts)
        return self._truncated(values, actions == _TRUNCATE, counts)

    def _hashed(self, values: AnyValues, rows: Marks, counts: Counts) -> AnyValues:
        if not rows.any():
            return values
        counts["hashed"] += int(rows.sum())
        return _with_texts(values, rows, self._hashes(_texts(_taken(values, np.flatnonzero(rows)))))

    def _hashes(self, texts: pa.Array) -> pa.Array:
        encoded = texts.dictionary_encode()
        hashes = [
            f"[hash:{hashlib.blake2b(text.encode(), digest_size=HASH_BYTES, key=self._key).hexdigest()}]"
            for text in encoded.dictionary.to_pylist()
        ]
        return pa.array(hashes, pa.string()).take(encoded.indices)

    def _truncated(self, values: AnyValues, rows: Marks, counts: Counts) -> AnyValues:
        if not rows.any():
            return values
        chosen = np.flatnonzero(rows)
        texts = _texts(_taken(values, chosen))
        long = pc.greater(pc.utf8_length(texts), integer(self.truncate_characters, pa.int32()))
        marks = long.to_numpy(zero_copy_only=False)
        if not marks.any():
            return values
        counts["truncated"] += int(marks.sum())
        cut = np.zeros(len(rows), dtype=bool)
        cut[chosen[marks]] = True
        beginnings = pc.utf8_slice_codeunits(texts.filter(long), 0, self.truncate_characters)
        lengths = pc.cast(pc.utf8_length(texts.filter(long)), pa.string())
        return _with_texts(values, cut, concatenate(beginnings, "[truncated:", lengths, "]"))

    def _masked_texts(self, texts: pa.Array, counts: Counts) -> pa.Array:
        if self.masker is None:
            return texts
        masked = self.masker.mask(texts)
        counts.update({f"masked:{name}": int(marks.sum()) for name, marks in masked.found.items()})
        return masked.texts

    def _masked(self, values: AnyValues, open_to: Marks, users: Marks | None, counts: Counts) -> AnyValues:
        """Search values for the patterns; users stay apart from one another by a hash of what was masked."""
        if self.masker is None or not open_to.any():
            return values
        rows = np.flatnonzero(open_to)
        before = _taken(values, rows)
        after, found = mask_values(before, self.masker)
        if not found:
            return values
        counts.update({f"masked:{name}": int(marks.sum()) for name, marks in found.items()})
        place = np.arange(len(values), dtype=np.int64)
        place[rows] = len(values) + np.arange(len(rows))
        merged = AnyValues(
            {
                kind: pa.concat_arrays([values.columns[kind], after.columns[kind]]).take(pa.array(place))
                for kind in values.columns
            }
        )
        changed = np.zeros(len(values), dtype=bool)
        changed[rows] = np.any(list(found.values()), axis=0)
        if users is None or not (changed & users).any():
            return merged
        return _with_texts(
            merged, changed & users, self._hashes(_texts(_taken(values, np.flatnonzero(changed & users))))
        )

    def _reduced(
        self, values: AnyValues, actions: _Actions, objects: Marks, key: str, counts: Counts
    ) -> tuple[AnyValues, _Actions]:
        """Where an object may not be kept, keep what columns are read from; the rest may be content."""
        long = pc.greater(pc.utf8_length(values.strings), integer(self.truncate_characters, pa.int32()))
        too_long = pc.fill_null(long, FALSE).to_numpy(zero_copy_only=False) & (actions == _TRUNCATE)
        texts = values.strings.is_valid().to_numpy(zero_copy_only=False)
        rows = objects & texts & (too_long | (actions >= _HASH))
        if not rows.any():
            return values, actions
        reduced = [members_read(key, text) for text in values.strings.filter(pa.array(rows)).to_pylist()]
        for what, which in (("truncated", rows & too_long), ("dropped", rows & ~too_long)):
            if which.any():
                counts[what] += int(which.sum())
        return _with_texts(values, rows, pa.array(reduced, pa.string())), np.where(rows, _KEEP, actions)


def _attribute_lists(owners: Sequence[Mapping[str, str]]) -> AttributeLists:
    """Attributes that are all texts: of each owner, their names and texts."""
    texts = pa.array([text for one in owners for text in one.values()], pa.string())
    columns = {kind: pa.nulls(len(texts), stored) for kind, stored in KINDS.items()} | {"string_value": texts}
    return AttributeLists(
        np.concatenate(([0], np.cumsum([len(one) for one in owners]))).astype(np.int32),
        pa.array([name for one in owners for name in one], pa.string()).dictionary_encode(),
        AnyValues(columns),
    )


def members_read(key: str, text: str) -> str:
    """The members of an object that columns are read from, and the numbers and switches of an object of settings."""
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return "{}"
    if not isinstance(members, dict):
        return "{}"
    kept: dict[str, Any] = {}
    if key in SETTINGS:
        kept = {
            name: value for name, value in members.items() if value is None or isinstance(value, bool | int | float)
        }
    for path in sorted(MEMBERS_READ[key]):
        value: Any = members
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= LONGEST_SETTING):
            place = kept
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = value
    return json.dumps(kept, separators=(",", ":"))


def _taken(values: AnyValues, rows: Indices) -> AnyValues:
    index = pa.array(rows)
    return AnyValues({kind: column.take(index) for kind, column in values.columns.items()})


def _present(values: AnyValues) -> Marks:
    marks: Marks = np.zeros(len(values), dtype=bool)
    for column in values.columns.values():
        if column.null_count < len(column):
            marks |= column.is_valid().to_numpy(zero_copy_only=False)
    return marks


def _texts(values: AnyValues) -> pa.Array:
    """Strings as they are, every other value as JSON."""
    bare = values.bare_texts()
    return values.strings if bare is None else pc.coalesce(values.strings, bare)


def _with_texts(values: AnyValues, rows: Marks, texts: pa.Array) -> AnyValues:
    """Values with those of some rows replaced by texts (null: by nothing)."""
    others = pa.array(np.arange(len(values)), mask=rows)
    columns = {
        kind: column if column.null_count == len(column) else column.take(others)
        for kind, column in values.columns.items()
    }
    columns["string_value"] = pc.replace_with_mask(values.strings, pa.array(rows), texts)
    return AnyValues(columns)


def content_policy(
    actions: Mapping[str, str],
    *,
    truncate_characters: int,
    hash_key: str | None,
    attributes: Sequence[str],
    patterns: Sequence[str],
    custom_patterns: Mapping[str, str],
    unmasked: Sequence[str],
) -> ContentPolicy | None:
    """A policy from plain values; None if it would change nothing.

    Args:
        actions: kind of content (``prompts``, …) → what is done with it (``keep``, …).
        truncate_characters: see ContentPolicy.
        hash_key: see ContentPolicy.
        attributes: see ContentPolicy.
        patterns: names of built-in patterns.
        custom_patterns: name → expression in RE2's syntax.
        unmasked: see ContentPolicy.

    Raises:
        PatternError: a pattern cannot be used.
    """
    made = ContentPolicy(
        actions={Content(kind): Action(action) for kind, action in actions.items()},
        truncate_characters=truncate_characters,
        hash_key=hash_key.encode() if hash_key else secrets.token_bytes(HASH_KEY_BYTES),
        attributes=tuple(attributes),
        masker=Masker(patterns, custom_patterns) if patterns or custom_patterns else None,
        unmasked=frozenset(unmasked),
    )
    return None if made.changes_nothing else made
