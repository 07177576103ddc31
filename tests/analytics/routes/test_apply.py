"""A gateway's file is changed in one step, or not at all."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from analytics.errors import InputError
from analytics.routes.apply import read_file, replace_file


def test_mode_line_ends_mark_and_link_are_kept(tmp_path: Path) -> None:
    """The file behind a symbolic link is replaced, with its mode, CRLF and byte order mark; no other file is left."""
    real, link = tmp_path / "real.yaml", tmp_path / "sub" / "link.yaml"
    link.parent.mkdir()
    link.symlink_to(real)
    real.write_bytes(b"\xef\xbb\xbfa: 1\r\n")
    real.chmod(0o640)
    present = read_file(link)
    assert present.text == "a: 1\n"
    replace_file(present, "a: 2\n")
    assert real.read_bytes() == b"\xef\xbb\xbfa: 2\r\n"
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["real.yaml", "sub"]


def test_a_file_that_was_edited_meanwhile_stays(tmp_path: Path) -> None:
    """Somebody else's edit is an error, and nothing is written; so is a file that came or went."""
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\n")
    present = read_file(path)
    path.write_text("a: 3\n")
    with pytest.raises(InputError, match="changed meanwhile"):
        replace_file(present, "a: 2\n")
    assert path.read_text() == "a: 3\n"
    path.unlink()
    with pytest.raises(InputError, match="changed meanwhile"):
        replace_file(present, "a: 2\n")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A folder that is not there is one sentence."""
    with pytest.raises(InputError, match="cannot be written: No such file"):
        replace_file(read_file(tmp_path / "none" / "a.yaml"), "a: 2\n")


def test_a_new_file_is_the_owners(tmp_path: Path) -> None:
    """A file that was not there is made, readable by its owner alone: it may name secrets."""
    path = tmp_path / "a.yaml"
    replace_file(read_file(path), "a: 2\n")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("a: 2\n", 0o600)


def test_what_is_no_text_is_said(tmp_path: Path) -> None:
    """Bytes that are not UTF-8, and a loop of links, are one sentence."""
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        read_file(path)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(InputError, match="cannot be"):
        replace_file(read_file(loop), "a: 2\n")
