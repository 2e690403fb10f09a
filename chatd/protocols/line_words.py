"""Words: what the words after each command of the line port mean.

One function for each command takes the text behind its name and the place where the person is, and gives a
command that everyone's rules are for, or a `Deed`, which concerns this connection only. Nothing is sent or shown
here, and nothing decided: who may do what is for `chatd.core`. The table of commands is in `line_commands`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from chatd.core import commands
from chatd.core.commands import Changes, Command, SelfChanges

HISTORY_LINES = 20
REACTION_CHARACTERS = 64
MOST_PLACES = 100
ASKED_FOR = "Passwords are asked for, so that nobody sees them. It is written:"

_NUMBER = re.compile(r"#?[0-9]{1,15}")
_SIGNED_NUMBER = re.compile(r"#[0-9]{1,15}")


class Misused(Exception):
    """The line cannot be understood; its text says why, and what to do."""


class NeedsWords(Exception):
    """The words that a command needs are not there."""


@dataclass(frozen=True)
class Place:
    """Where the person is: the current room (empty: none), and the number of one's own last message there."""

    room: str = ""
    last_seq: int | None = None


class Deed:
    """Something that concerns this connection only."""


@dataclass(frozen=True)
class Help(Deed):
    """Tell about all commands, or one."""

    name: str = ""


@dataclass(frozen=True)
class Ignore(Deed):
    """Hide what somebody says, or show it again; without a name, tell who is hidden."""

    name: str = ""


@dataclass(frozen=True)
class Switch(Deed):
    """Turn `json` or `timestamps` on or off; None is the other way round."""

    name: Literal["json", "timestamps"]
    on: bool | None = None


@dataclass(frozen=True)
class Status(Deed):
    """Tell how things stand."""


@dataclass(frozen=True)
class TellWord(Deed):
    """Tell the word with which one can come back."""


@dataclass(frozen=True)
class Enquiry(Deed):
    """Ask the person for passwords, to do something with an account; `word` is its name, or an invite."""

    purpose: Literal["register", "login", "passwd"]
    word: str = ""


Meaning = Command | Deed


def words(text: str, count: int) -> list[str]:
    """Exactly so many words, the last with all that follows it."""
    found = text.split(None, count - 1)
    if len(found) < count:
        raise NeedsWords
    return found


def name_and_rest(text: str) -> tuple[str, str]:
    """The first word, and what follows it, perhaps nothing."""
    [name, *rest] = words(text, 1)[0].split(None, 1)
    return name, rest[0] if rest else ""


def need_room(place: Place) -> str:
    """The current room."""
    if not place.room:
        raise Misused("You are in no room. Enter one: /join #lobby")
    return place.room


def room_name(word: str) -> str:
    """A room's name as typed; the sign before it may be left out."""
    return word if word[:1] in ("#", "@") else "#" + word


def split_room(text: str, place: Place) -> tuple[str, str]:
    """The room that a text begins with, else the current one; and the rest."""
    if text[:1] in ("#", "@"):
        return name_and_rest(text)
    return need_room(place), text


def seq_of(word: str) -> int:
    """A message's number, with or without its `#`."""
    if not _NUMBER.fullmatch(word):
        raise NeedsWords
    return int(word.removeprefix("#"))


def own_last(place: Place) -> int:
    """The number of one's own last message in the current room."""
    if place.last_seq is None:
        raise Misused("You have said nothing here since you came. /history shows the numbers of messages.")
    return place.last_seq


def on_or_off(text: str) -> bool:
    if text.casefold() not in ("on", "off"):
        raise NeedsWords
    return text.casefold() == "on"


# -- one function for each command ------------------------------------------------------------------------------------


def read_help(text: str, place: Place) -> Meaning:
    return Help(text.removeprefix("/").casefold())


def read_nick(text: str, place: Place) -> Meaning:
    [nick] = words(text, 1)
    return commands.Nick(nick=nick)


def read_join(text: str, place: Place) -> Meaning:
    room, key = name_and_rest(text)
    if " " in key:
        raise Misused("The name of a room has no spaces, nor has its key. It is written: /join #room [KEY]")
    return commands.Join(room=room_name(room), key=key or None)


def read_part(text: str, place: Place) -> Meaning:
    room, reason = split_room(text, place)
    return commands.Part(room=room, reason=reason or None)


def read_rooms(text: str, place: Place) -> Meaning:
    return commands.List(what="rooms", prefix=room_name(text) if text else None)


def read_names(text: str, place: Place) -> Meaning:
    room, beginning = split_room(text, place)
    return commands.List(what="members", room=room, prefix=beginning or None)


def read_who(text: str, place: Place) -> Meaning:
    return commands.List(what="users", prefix=text or None)


def read_whois(text: str, place: Place) -> Meaning:
    [name] = words(text, 1)
    return commands.List(what="whois", name=name)


def read_msg(text: str, place: Place) -> Meaning:
    name, body = words(text, 2)
    return commands.Send(to="@" + name.removeprefix("@"), body=body)


def read_me(text: str, place: Place) -> Meaning:
    [body] = words(text, 1)
    return commands.Send(room=need_room(place), body=body, kind="action")


def read_topic(text: str, place: Place) -> Meaning:
    room = need_room(place)
    if not text:
        return commands.List(what="rooms", room=room, prefix=room, limit=1)
    return commands.Set(room=room, changes=Changes(topic="" if text == "-" else text))


def read_away(text: str, place: Place) -> Meaning:
    return commands.Set(myself=SelfChanges(away=text or True))


def read_back(text: str, place: Place) -> Meaning:
    return commands.Set(myself=SelfChanges(away=False))


def read_history(text: str, place: Place) -> Meaning:
    room, limit, before = "", HISTORY_LINES, None
    for word in text.split():
        if _SIGNED_NUMBER.fullmatch(word):
            before = seq_of(word)
        elif word[0] in "#@":
            room = word
        else:
            limit = max(1, seq_of(word))
    return commands.History(room=room or need_room(place), before=before, limit=limit)


def read_search(text: str, place: Place) -> Meaning:
    [query] = words(text, 1)
    return commands.History(room=need_room(place), query=query, limit=HISTORY_LINES)


def read_edit(text: str, place: Place) -> Meaning:
    room = need_room(place)
    [body] = words(text, 1)
    first, rest = name_and_rest(text)
    if not _SIGNED_NUMBER.fullmatch(first):
        return commands.Relate(room=room, target=own_last(place), rel="edit", body=body)
    if not rest:
        raise NeedsWords
    return commands.Relate(room=room, target=seq_of(first), rel="edit", body=rest)


def read_delete(text: str, place: Place) -> Meaning:
    room = need_room(place)
    return commands.Relate(room=room, target=seq_of(text) if text else own_last(place), rel="redact")


def read_react(text: str, place: Place) -> Meaning:
    number, key = words(text, 2)
    if len(key) > REACTION_CHARACTERS:
        raise Misused(f"A reaction has at most {REACTION_CHARACTERS} characters.")
    return commands.Relate(room=need_room(place), target=seq_of(number), rel="react", key=key)


def read_ignore(text: str, place: Place) -> Meaning:
    return Ignore(text.removeprefix("@"))


def read_register(text: str, place: Place) -> Meaning:
    return Enquiry("register", text)


def read_login(text: str, place: Place) -> Meaning:
    if " " in text:
        raise Misused(f"{ASKED_FOR} /login NAME")
    return Enquiry("login", text)


def read_passwd(text: str, place: Place) -> Meaning:
    if text:
        raise Misused(f"{ASKED_FOR} /passwd")
    return Enquiry("passwd")


def read_sessions(text: str, place: Place) -> Meaning:
    return commands.List(what="sessions")


def read_time(text: str, place: Place) -> Meaning:
    return commands.Ping(data="time")


def read_ping(text: str, place: Place) -> Meaning:
    return commands.Ping()


def read_resume(text: str, place: Place) -> Meaning:
    if not text:
        return TellWord()
    said = text.split()
    end = 1
    if "-" not in said[0]:  # some type it with spaces
        end = next((n for n, part in enumerate(said) if part.startswith(("#", "@"))), len(said))
    word, rest = "-".join(said[:end]), said[end:]
    names, numbers = rest[::2], rest[1::2]
    if not word or len(names) != len(numbers) or len(names) > MOST_PLACES:
        raise NeedsWords
    places = {room_name(name): seq_of(number) for name, number in zip(names, numbers, strict=True)}
    return commands.ComeBack(word=word, places=places)


def read_status(text: str, place: Place) -> Meaning:
    return Status()


def read_json(text: str, place: Place) -> Meaning:
    return Switch("json", on_or_off(text))


def read_timestamps(text: str, place: Place) -> Meaning:
    return Switch("timestamps", on_or_off(text) if text else None)


def read_quit(text: str, place: Place) -> Meaning:
    return commands.Quit(reason=text or None)
