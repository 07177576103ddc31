"""The journal: what is acknowledged survives, whole, in order, once."""

from __future__ import annotations

import logging
import os
import resource
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sql.journal import Journal, JournalError, journal_directory, pending

HUGE = 2**62


def rows(*numbers: int) -> dict[str, pa.Table]:
    """One entry's tables."""
    return {"first": pa.table({"n": pa.array(numbers, pa.int64())}), "second": pa.table({"t": ["x"] * len(numbers)})}


def numbers(journal: Journal) -> list[tuple[int, list[int]]]:
    """What a journal holds: sequence and content of each entry."""
    return [(entry.sequence, journal.tables(entry)["first"]["n"].to_pylist()) for entry in journal.entries()]


def written(directory: Path, *contents: tuple[int, ...]) -> Journal:
    """A journal with these entries, not closed, as a killed process leaves it."""
    journal = Journal(directory)
    for content in contents:
        journal.append(rows(*content))
    return journal


def segment(directory: Path) -> Path:
    """The only segment."""
    (found,) = directory.glob("*.journal")
    return found


def test_entries_come_back_in_order(tmp_path: Path) -> None:
    """A new process reads every entry with all its tables, and goes on counting."""
    written(tmp_path / "j", (1, 2), (3,))
    journal = Journal(tmp_path / "j")
    assert numbers(journal) == [(1, [1, 2]), (2, [3])]
    assert journal.append(rows(4)).sequence == 3
    assert numbers(Journal(tmp_path / "j")) == [(1, [1, 2]), (2, [3]), (3, [4])]


def test_what_the_store_holds_is_not_read_again(tmp_path: Path) -> None:
    """Entries up to the last loaded sequence are passed over; segments that hold no others are removed."""
    written(tmp_path / "j", (1,), (2,), (3,))
    journal = Journal(tmp_path / "j", after=2)
    assert numbers(journal) == [(3, [3])]
    journal.drop_through(2)
    assert segment(tmp_path / "j").exists()
    journal.close(3)
    assert not (tmp_path / "j").exists()


def test_a_segment_is_followed_by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Full segments are removed one by one as the store takes them."""
    monkeypatch.setattr("sql.journal.SEGMENT_BYTES", 2000)
    journal = written(tmp_path / "j", *((number,) for number in range(10)))
    files = sorted((tmp_path / "j").glob("*.journal"))
    assert len(files) > 3
    journal.drop_through(5)
    assert [sequence for sequence, _ in numbers(Journal(tmp_path / "j", after=5))] == [6, 7, 8, 9, 10]
    assert 0 < len(list((tmp_path / "j").glob("*.journal"))) < len(files)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(min_value=1, max_value=1500))
def test_a_torn_tail_is_passed_over(
    tmp_path_factory: pytest.TempPathFactory, cut: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut anywhere, what stands whole before the cut is read, the rest is said not to have been acknowledged."""
    directory = tmp_path_factory.mktemp("torn") / "j"
    journal = Journal(directory)
    ends = [entry.place.offset + entry.place.length for entry in (journal.append(rows(1)), journal.append(rows(2)))]
    path = segment(directory)
    left = max(path.stat().st_size - cut, 0)
    os.truncate(path, left)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert len(numbers(Journal(directory))) == sum(end <= left for end in ends)
    in_the_middle = 0 < left < ends[0] or ends[0] + 8 <= left < ends[1]
    assert ("never acknowledged" in caplog.text) >= in_the_middle


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_found_and_kept(
    tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    """A byte changed anywhere never gives other rows; what can be read is, the file is kept and named."""
    directory = tmp_path_factory.mktemp("damaged") / "j"
    journal = Journal(directory)
    entries = [journal.append(rows(number)) for number in (1, 2, 3)]
    path = segment(directory)
    content = bytearray(path.read_bytes())
    hit = data.draw(st.sampled_from(entries)).place
    place = data.draw(st.integers(hit.offset - 32, hit.offset + hit.length - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    caplog.clear()
    found = numbers(Journal(directory))
    assert [entry for entry in [(1, [1]), (2, [2]), (3, [3])] if entry in found] == found
    assert len(found) < 3
    assert "damaged at byte" in caplog.text
    assert (directory / (path.stem + ".damaged")).read_bytes() == content


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path: Path) -> None:
    """A write that fails half way is cut off; when there is room again the journal goes on."""
    journal = written(tmp_path / "j", (1,))
    size = segment(tmp_path / "j").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200, before[1]))
    try:
        with pytest.raises(JournalError, match="cannot be written: File too large"):
            journal.append(rows(*range(1000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert numbers(Journal(tmp_path / "j")) == [(1, [1])]
    assert journal.append(rows(2)).sequence == 2
    assert numbers(Journal(tmp_path / "j")) == [(1, [1]), (2, [2])]


def test_a_segment_that_took_nothing_is_forgotten(tmp_path: Path) -> None:
    """After writes that failed at the start of a segment, letting go of what is stored does not take the next entry."""
    journal = Journal(tmp_path / "j")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        for _ in range(2):
            with pytest.raises(JournalError, match="cannot be written"):
                journal.append(rows(1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    entry = journal.append(rows(1))
    journal.drop_through(entry.sequence - 1)
    assert journal.tables(entry)["first"]["n"].to_pylist() == [1]
    assert numbers(Journal(tmp_path / "j")) == [(1, [1])]


def test_what_the_store_lost_again_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A store that has gone back behind what the journal let go of is said, at the next start, and once."""
    journal = written(tmp_path / "j", (1,), (2,))
    journal._end_segment()
    journal.drop_through(2)
    journal.append(rows(3))
    assert numbers(Journal(tmp_path / "j", after=2)) == [(3, [3])]
    assert not caplog.text
    assert numbers(Journal(tmp_path / "j", after=1)) == [(3, [3])]
    assert "entries 2 to 2" in caplog.text


def test_that_the_store_lost_is_told_without_a_new_entry(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is known from what is kept to be written over, too."""
    journal = written(tmp_path / "j", (1,), (2,))
    journal._end_segment()
    journal.drop_through(2)
    assert numbers(Journal(tmp_path / "j")) == []
    assert "entries 1 to 1" in caplog.text


def test_the_reserve_is_left_free(tmp_path: Path) -> None:
    """With less room than the reserve nothing is written, and the message says what to do."""
    with pytest.raises(JournalError, match=r"nearly full.*make room"):
        Journal(tmp_path / "j", reserve_bytes=HUGE).append(rows(1))
    assert not (tmp_path / "j").exists()


def test_a_store_without_a_journal_has_nothing_pending(tmp_path: Path) -> None:
    """Only segments make a journal pending."""
    store = tmp_path / "s.duckdb"
    assert not pending(store)
    journal = written(journal_directory(store), (1,))
    assert pending(store)
    assert oct(segment(journal_directory(store)).stat().st_mode)[-3:] == "600"
    journal.close(1)
    assert not pending(store)
