"""What the client's commands do unless told otherwise."""

from __future__ import annotations

import io
import sys

import pytest

from chatd.client import options


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("words", "person", "pipe"),
    [
        (["connect"], None, 30.0),
        (["connect", "--wait", "5"], 5.0, 5.0),
        (["connect", "--no-retry"], 0.0, 0.0),
        (["tail", "#lobby"], None, None),
        (["send", "#lobby", "--retry"], 30.0, 30.0),
        (["send", "#lobby"], 0.0, 0.0),
    ],
)
def test_only_a_person_and_who_watches_wait_for_ever(
    words: list[str], person: float | None, pipe: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`chatd connect </dev/null` gives up by itself where no server is."""
    for stdin, wanted in ((Terminal(), person), (io.StringIO(), pipe)):
        monkeypatch.setattr(sys, "stdin", stdin)
        assert options.read(words[0], words[1:]).wait == wanted
