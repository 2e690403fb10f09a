"""What a line means: a table of what can be typed, and what is said about what cannot."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatd.core import commands as c
from chatd.core.commands import Changes, SelfChanges
from chatd.protocols.line_commands import ALIASES, VERBS, help_lines, nearest, read, written
from chatd.protocols.line_words import Enquiry, Help, Ignore, Meaning, Misused, Place, Status, Switch, TellWord

HERE = Place("#lobby", 7)

TABLE: list[tuple[str, Meaning]] = [
    ("hello", c.Send(room="#lobby", body="hello")),
    ("  indented ", c.Send(room="#lobby", body="  indented ")),
    ("//x", c.Send(room="#lobby", body="/x")),
    ("///", c.Send(room="#lobby", body="//")),
    ("/help", Help()),
    ("/help /Edit", Help("edit")),
    ("/?", Help()),
    ("/nick bob", c.Nick(nick="bob")),
    ("/NICK bob", c.Nick(nick="bob")),
    ("/nick two words", c.Nick(nick="two words")),  # refused by the rules, with a suggestion
    ("/join #ops", c.Join(room="#ops")),
    ("/j ops", c.Join(room="#ops")),
    ("/join @bob", c.Join(room="@bob")),
    ("/part", c.Part(room="#lobby")),
    ("/part too loud here", c.Part(room="#lobby", reason="too loud here")),
    ("/part #ops too loud", c.Part(room="#ops", reason="too loud")),
    ("/leave", c.Part(room="#lobby")),
    ("/rooms", c.List(what="rooms")),
    ("/rooms lo", c.List(what="rooms", prefix="#lo")),
    ("/names", c.List(what="members", room="#lobby")),
    ("/names #ops", c.List(what="members", room="#ops")),
    ("/names a", c.List(what="members", room="#lobby", prefix="a")),
    ("/who", c.List(what="users")),
    ("/who a", c.List(what="users", prefix="a")),
    ("/whois bob", c.List(what="whois", name="bob")),
    ("/msg bob hi  there", c.Send(to="@bob", body="hi  there")),
    ("/m @bob hi", c.Send(to="@bob", body="hi")),
    ("/me waves", c.Send(room="#lobby", body="waves", kind="action")),
    ("/topic", c.List(what="rooms", room="#lobby", prefix="#lobby", limit=1)),
    ("/topic tea at five", c.Set(room="#lobby", changes=Changes(topic="tea at five"))),
    ("/topic -", c.Set(room="#lobby", changes=Changes(topic=""))),
    ("/away", c.Set(myself=SelfChanges(away=True))),
    ("/away lunch", c.Set(myself=SelfChanges(away="lunch"))),
    ("/back", c.Set(myself=SelfChanges(away=False))),
    ("/history", c.History(room="#lobby", limit=20)),
    ("/history 5", c.History(room="#lobby", limit=5)),
    ("/history 0", c.History(room="#lobby", limit=1)),
    ("/history 5 #120", c.History(room="#lobby", limit=5, before=120)),
    ("/history #120", c.History(room="#lobby", limit=20, before=120)),
    ("/history @bob 5", c.History(room="@bob", limit=5)),
    ("/history #ops #12", c.History(room="#ops", limit=20, before=12)),
    ("/search green tea", c.History(room="#lobby", query="green tea", limit=20)),
    ("/edit hello", c.Relate(room="#lobby", target=7, rel="edit", body="hello")),
    ("/edit 3 apples", c.Relate(room="#lobby", target=7, rel="edit", body="3 apples")),
    ("/edit #3 apples", c.Relate(room="#lobby", target=3, rel="edit", body="apples")),
    ("/edit #tea is a tag", c.Relate(room="#lobby", target=7, rel="edit", body="#tea is a tag")),
    ("/delete", c.Relate(room="#lobby", target=7, rel="redact")),
    ("/delete 3", c.Relate(room="#lobby", target=3, rel="redact")),
    ("/delete #3", c.Relate(room="#lobby", target=3, rel="redact")),
    ("/react 3 👍", c.Relate(room="#lobby", target=3, rel="react", key="👍")),
    ("/ignore", Ignore()),
    ("/ignore @bob", Ignore("bob")),
    ("/kick bob", c.Moderate(action="kick", target="bob", room="#lobby")),
    ("/kick bob too loud", c.Moderate(action="kick", target="bob", room="#lobby", reason="too loud")),
    ("/ban bob", c.Moderate(action="ban", target="bob", room="#lobby")),
    ("/mute bob", c.Moderate(action="mute", target="bob", room="#lobby")),
    ("/op bob", c.Moderate(action="role", target="bob", room="#lobby", role="operator")),
    ("/deop bob", c.Moderate(action="role", target="bob", room="#lobby", role="member")),
    ("/role bob Speaker", c.Moderate(action="role", target="bob", room="#lobby", role="speaker")),
    ("/ban bob 2H too loud", c.Moderate(action="ban", target="bob", room="#lobby", duration="2h", reason="too loud")),
    ("/unban bob", c.Moderate(action="unban", target="bob", room="#lobby")),
    ("/unmute bob", c.Moderate(action="unmute", target="bob", room="#lobby")),
    ("/bans", c.List(what="bans", room="#lobby")),
    ("/bans ops", c.List(what="bans", room="#ops")),
    ("/join #ops sesame", c.Join(room="#ops", key="sesame")),
    ("/set slow 10", c.Set(room="#lobby", changes=Changes(slow=10))),
    ("/set join Invite", c.Set(room="#lobby", changes=Changes(join="invite"))),
    ("/set key Sesame", c.Set(room="#lobby", changes=Changes(key="Sesame"))),
    ("/server ban bob 1d", c.Moderate(action="ban", target="bob", server=True, duration="1d")),
    ("/server role bob operator", c.Moderate(action="role", target="bob", server=True, role="operator")),
    ("/server lockdown guests", c.Moderate(action="lockdown", target="guests", server=True)),
    ("/server bans", c.List(what="bans")),
    ("/invite bob", c.Moderate(action="invite", target="bob", room="#lobby")),
    ("/invite bob ops", c.Moderate(action="invite", target="bob", room="#ops")),
    ("/register", Enquiry("register")),
    ("/register abcd-efgh", Enquiry("register", "abcd-efgh")),
    ("/login bob", Enquiry("login", "bob")),
    ("/passwd", Enquiry("passwd")),
    ("/sessions", c.List(what="sessions")),
    ("/resume", TellWord()),
    ("/resume bold-otter-4127", c.ComeBack(word="bold-otter-4127")),
    ("/resume bold otter 4127", c.ComeBack(word="bold-otter-4127")),
    ("/resume bold-otter-4127 ops 7", c.ComeBack(word="bold-otter-4127", places={"#ops": 7})),
    ("/resume w #lobby 12 ops #7", c.ComeBack(word="w", places={"#lobby": 12, "#ops": 7})),
    ("/time", c.Ping(data="time")),
    ("/ping", c.Ping()),
    ("/status", Status()),
    ("/json on", Switch("json", True)),
    ("/json OFF", Switch("json", False)),
    ("/timestamps", Switch("timestamps", None)),
    ("/timestamps off", Switch("timestamps", False)),
    ("/quit", c.Quit()),
    ("/q see you", c.Quit(reason="see you")),
]

MISUSED = [
    ("/nick", "It is written: /nick NAME"),
    ("/msg bob", "It is written: /msg NAME text"),
    ("/react 👍", "It is written: /react N emoji"),
    ("/react x 👍", "It is written: /react N emoji"),
    ("/delete it", "It is written: /delete [N]"),
    ("/edit", "It is written: /edit [#N] text"),
    ("/edit #3", "It is written: /edit [#N] text"),
    ("/json", "It is written: /json on|off"),
    ("/join #bad room name", "The name of a room has no spaces, nor has its key."),
    ("/timestamps maybe", "It is written: /timestamps [on|off]"),
    ("/history ten", "It is written: /history [n] [#before]"),
    ("/resume w #lobby", "It is written: /resume [WORD]"),
    ("/resume w #lobby now", "It is written: /resume [WORD]"),
    ("/resume " + "w" * 65, "The word is too long: 64 characters are allowed."),
    ("/jion #ops", "There is no command /jion. Did you mean /join? Nothing was sent."),
    ("/histroy", "Did you mean /history?"),
    ("/xyzzy", "There is no command /xyzzy. Nothing was sent."),
    ("/", "There is no command /."),
    ("/etc/passwd is a file", "Nothing was sent."),
    ("/react 3 " + "x" * 65, "A reaction has at most 64 characters."),
    ("/quit " + "x" * 513, "The reason is too long: 512 characters are allowed. Nothing was sent."),
    ("/join #" + "x" * 256, "The room is too long: 256 characters are allowed. Nothing was sent."),
]


@pytest.mark.parametrize(("line", "meaning"), TABLE)
def test_what_a_line_means(line: str, meaning: Meaning) -> None:
    assert read(line, HERE) == meaning


@pytest.mark.parametrize(("line", "told"), MISUSED)
def test_what_cannot_be_understood_is_told_and_nothing_is_sent(line: str, told: str) -> None:
    with pytest.raises(Misused, match=re.escape(told)):
        read(line, HERE)


def test_no_command_was_forgotten() -> None:
    typed = {line[1:].split()[0].casefold() for line, _ in TABLE if line[:1] == "/" and line[1:2] != "/"}
    assert {ALIASES.get(name, name) for name in typed} == set(VERBS)
    assert not set(ALIASES) & set(VERBS)


@pytest.mark.parametrize(
    "line", ["hello", "/me waves", "/topic", "/history", "/edit x", "/delete 3", "/react 3 x", "/part", "/kick bob"]
)
def test_in_no_room_there_is_nothing_to_say(line: str) -> None:
    with pytest.raises(Misused, match="You are in no room"):
        read(line, Place())


@pytest.mark.parametrize("line", ["/edit hello", "/delete"])
def test_who_has_said_nothing_has_no_last_message(line: str) -> None:
    with pytest.raises(Misused, match="/history shows the numbers"):
        read(line, Place("#lobby"))


@given(st.text().filter(bool), st.booleans())
def test_every_line_means_something_or_is_told_why_not(text: str, as_command: bool) -> None:
    line = f"/{text}" if as_command else text
    with suppress(Misused):
        assert read(line, HERE)


@given(st.sampled_from(list(VERBS)), st.text(alphabet="#@ab0 👍", max_size=12))
def test_whatever_follows_a_command(name: str, text: str) -> None:
    with suppress(Misused):
        assert read(f"/{name} {text}", HERE)


@pytest.mark.parametrize("name", VERBS)
def test_two_letters_in_the_wrong_order_are_forgiven(name: str) -> None:
    slip = name[:-2] + name[-1] + name[-2]
    assert slip in VERBS or nearest(slip) == name


def test_help_has_a_line_for_each_command_and_more_for_one() -> None:
    lines = help_lines("")
    for name, verb in VERBS.items():
        assert any(line.startswith(written(name, verb)) and line.endswith(verb.about) for line in lines)
    assert max(map(len, lines)) <= 76
    assert "/react take it" in " ".join(help_lines("history"))
    assert help_lines("m") == help_lines("msg")
    assert "Did you mean /edit?" in help_lines("edti")[0]


def test_the_commands_of_the_contract_are_there() -> None:
    """PROTOCOL.md section 7.5, and `sessions`, and what keeping order takes more."""
    promised = (
        "help nick join part rooms names who whois msg me topic away back history search edit delete react ignore"
        " kick ban mute op invite unban unmute bans deop role set server"
        " register login passwd sessions resume time ping status json timestamps quit"
    )
    assert list(VERBS) == promised.split()
    reference = Path(__file__).parents[2] / "docs" / "protocol.md"
    if reference.exists():
        text = reference.read_text()
        assert [name for name in VERBS if f"/{name}" not in text] == []
