"""The cursor file: each message handled once, whatever happens."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chatd.client import Message, blocking, happenings
from chatd.client.cursor import CursorFile, CursorFileError, Remembered
from chatd.core import commands


def test_it_remembers_who_we_are_and_how_far_we_came(tmp_path: Path, words: Any) -> None:
    cursor = CursorFile(tmp_path / "bot.json")
    cursor.known_as("bot", "c1.token")
    cursor.start("#lobby", "r1", 3)
    cursor.done(words.message(5))
    root = cursor.holds.root
    cursor.close()
    again = CursorFile(tmp_path / "bot.json")
    assert (again.holds.nick, again.holds.token, again.holds.root) == ("bot", "c1.token", root)
    place = again.place("#LOBBY")
    assert place is not None
    assert (place.room, place.room_id, place.seq) == ("#lobby", "r1", 5)
    again.close()


def test_it_never_goes_back_but_for_another_room(tmp_path: Path, words: Any) -> None:
    cursor = CursorFile(tmp_path / "bot.json")
    cursor.done(words.message(5))
    cursor.done(words.message(4))
    cursor.start("#lobby", "r1", 2)
    assert cursor.holds.rooms["#lobby"].seq == 5
    cursor.done(words.message(1, room_id="r2"))
    assert cursor.holds.rooms["#lobby"].seq == 1
    cursor.close()


def test_what_comes_with_the_answer_to_join_is_not_handled_yet(tmp_path: Path, words: Any) -> None:
    """Killed before the first event was handled, a bot is shown it again."""
    with closing(blocking.Chat("127.0.0.1:9", None, {"cursor_file": tmp_path / "bot.json"})) as bot:
        joined = words.joined(commands.Join(id="1", room="#lobby"), 2)
        bot.session.rooms.entered(joined, 0)
        replayed = [*bot.session.rooms.heard(words.message(1)), *bot.session.rooms.heard(words.message(2))]
        bot._digest([happenings.Answered(1, joined), *replayed])  # all in one piece
        assert [one.seq for one in bot.poll() if isinstance(one, Message)] == [1, 2]
    again = CursorFile(tmp_path / "bot.json")
    assert again.holds.rooms["#lobby"].seq == 0
    again.close()


def test_a_server_that_went_back_is_followed(tmp_path: Path, words: Any) -> None:
    cursor = CursorFile(tmp_path / "bot.json")
    cursor.done(words.message(5))
    cursor.rewind("#Lobby")
    cursor.done(words.message(1))
    cursor.close()
    again = CursorFile(tmp_path / "bot.json")
    assert again.holds.rooms["#lobby"].seq == 1
    again.close()


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """The token in it is as good as a password."""
    cursor = CursorFile(tmp_path / "bot.json")
    cursor.known_as("bot", "c1.token")
    assert stat.S_IMODE(os.stat(cursor.path).st_mode) == 0o600
    cursor.close()


def test_a_crash_while_writing_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = CursorFile(tmp_path / "bot.json")
    cursor.known_as("bot", "old")

    def no_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", no_disk)
        with pytest.raises(CursorFileError, match="No space left"):
            cursor.known_as("bot", "new")
    cursor.close()
    again = CursorFile(tmp_path / "bot.json")
    assert again.holds.token == "old"
    again.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bot.json", "bot.json.lock"]


def test_two_programs_cannot_share_one(tmp_path: Path) -> None:
    cursor = CursorFile(tmp_path / "bot.json")
    with pytest.raises(CursorFileError, match="another program"):
        CursorFile(tmp_path / "bot.json")
    cursor.close()
    CursorFile(tmp_path / "bot.json").close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"rooms": 7}', b"\xff\xfe", b"x" * (1 << 21)])
def test_what_is_no_cursor_file_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bot.json").write_bytes(content)
    with pytest.raises(CursorFileError, match="damaged or is no cursor file"):
        CursorFile(tmp_path / "bot.json")


def test_one_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "bot.json").write_bytes(msgspec.json.encode(Remembered(version=2)))
    with pytest.raises(CursorFileError, match="newer"):
        CursorFile(tmp_path / "bot.json")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CursorFileError, match="No such file"):
        CursorFile(tmp_path / "nowhere" / "bot.json")
