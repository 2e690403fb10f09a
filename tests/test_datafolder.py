"""The data folder: where it is, and that nobody shares it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from chatd.datafolder import LOCK_NAME, DataFolder, folder_path
from chatd.errors import Exit, OperatorError


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        ("/a/b", {"STATE_DIRECTORY": "/s"}, "/a/b"),
        ("", {"STATE_DIRECTORY": "/s:/t", "XDG_STATE_HOME": "/x"}, "/s"),
        ("", {"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/chatd"),
        ("", {"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/chatd"),
        ("", {"HOME": "/h"}, "/h/.local/state/chatd"),
    ],
)
def test_where_it_is(given: str, environ: dict[str, str], expected: str) -> None:
    assert folder_path(given, environ) == Path(expected)


def test_a_relative_folder_is_below_the_one_it_was_named_in() -> None:
    assert folder_path("data", {}) == Path.cwd() / "data"


def test_it_is_made_for_the_owner_alone(tmp_path: Path) -> None:
    folder = DataFolder.hold(tmp_path / "a" / "b")
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    folder.release()


def test_two_cannot_hold_it_and_the_holder_is_named(tmp_path: Path) -> None:
    folder = DataFolder.hold(tmp_path)
    with pytest.raises(OperatorError, match=rf"in use by another chatd \(process {os.getpid()}\); stop") as caught:
        DataFolder.hold(tmp_path)
    assert caught.value.exit_code == Exit.TRY_AGAIN
    folder.release()
    folder.release()
    DataFolder.hold(tmp_path).release()


def test_what_a_killed_server_leaves_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).write_text("99999\n")
    folder = DataFolder.hold(tmp_path)
    assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    folder.release()


def test_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match=r"cannot be written \(Not a directory\); make it writable, or") as caught:
        DataFolder.hold(tmp_path / "file" / "folder")
    assert caught.value.exit_code == Exit.DISK


def test_a_file_is_held_wherever_it_lies_and_whatever_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "chat.db").touch()
    (tmp_path / "other.db").symlink_to("chat.db")
    first = DataFolder.hold(tmp_path / "a", tmp_path / "chat.db")
    with pytest.raises(OperatorError, match=r"journal .*other.db: is in use by another chatd .*--journal") as caught:
        DataFolder.hold(tmp_path / "b", tmp_path / "other.db")
    assert caught.value.exit_code == Exit.TRY_AGAIN
    assert not (tmp_path / "b").exists(), "what it made for itself is gone again"
    first.release()
    assert not (tmp_path / "a").exists()
    DataFolder.hold(tmp_path / "b", tmp_path / "other.db").release()


def test_a_folder_that_was_there_or_that_has_come_to_hold_something_stays(tmp_path: Path) -> None:
    (tmp_path / "was there").mkdir()
    DataFolder.hold(tmp_path / "was there").release()
    assert os.listdir(tmp_path / "was there") == []
    folder = DataFolder.hold(tmp_path / "new" / "data")
    (folder.path / "chatd.db").touch()
    folder.release()
    assert os.listdir(tmp_path / "new" / "data") == ["chatd.db"]


def test_a_lock_that_its_holder_has_just_removed_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two could hold one each otherwise: one the file that was there, the other that which took its place."""
    first = DataFolder.hold(tmp_path)
    opened = os.open

    def open_and_lose(path: Path, *more: int) -> int:
        found = opened(path, *more)
        first.release()  # just then
        return found

    monkeypatch.setattr(os, "open", open_and_lose)
    second = DataFolder.hold(tmp_path)
    assert (tmp_path / LOCK_NAME).read_text() == f"{os.getpid()}\n"
    with pytest.raises(OperatorError, match="in use"):
        DataFolder.hold(tmp_path)
    second.release()
