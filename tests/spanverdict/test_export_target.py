"""Where exports lie: local folders, and file systems that an address names."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import fs

from spanverdict.export_target import ExportError, ExportTarget


def fail_in_the_middle(target: ExportTarget) -> None:
    """Write a half of a/f."""
    with target.write("a/f") as file:
        file.write(b"half")
        raise ValueError("in the middle")


def test_a_file_elsewhere_is_whole_or_not_there() -> None:
    """On a file system that is not this machine's: written, moved to its place, and a failed one leaves nothing."""
    filesystem = fs.FileSystem.from_uri("mock:///")[0]
    filesystem.create_dir("bucket/a")
    target = ExportTarget(filesystem, "bucket")
    with target.write("a/f") as file:
        file.write(b"first ")
        file.write(memoryview(b"second"))
    assert (target.read("a/f"), file.size, target.exists("a/g")) == (b"first second", 12, False)
    with pytest.raises(ValueError, match="in the middle"):
        fail_in_the_middle(target)
    assert target.read("a/f") == b"first second"
    assert [info.path for info in filesystem.get_file_info(fs.FileSelector("bucket", recursive=True))] == [
        "bucket/a",
        "bucket/a/f",
    ]


def test_a_local_file_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """The draft goes, the file stays."""
    target = ExportTarget.at(str(tmp_path))
    with target.write("a/f") as file:
        file.write(b"first")
    with pytest.raises(ValueError, match="in the middle"):
        fail_in_the_middle(target)
    assert (target.read("a/f"), [path.name for path in (tmp_path / "a").iterdir()]) == (b"first", ["f"])


def test_addresses_name_their_file_system() -> None:
    """S3 with its settings, which are not shown; file:// is a local folder; what is unknown is refused."""
    address = "s3://key:secret@bucket/folder?region=eu-west-1&endpoint_override=127.0.0.1:9&scheme=http"
    assert ExportTarget.at(address).shown == "s3:bucket/folder"
    assert ExportTarget.at("file:///folder/x").shown == "/folder/x"
    with pytest.raises(ExportError, match="This gopher:// address cannot be used"):
        ExportTarget.at("gopher://x")
