"""Coming back by a word: what somebody with telnet or nc types to be the same person again, in the same rooms.

A word is a secret like `bold-otter-4127`. It is made of chance that is given, and nothing of it is kept but a key,
which takes the server's secret to make: the key of a `Bookmark`, which says who and where the person was. When these
are moved, and how often one may guess, is the hub's to know. The owner of an account has a password instead of a word,
and for the rest comes back in the same way.
"""

from __future__ import annotations

import hmac
from functools import cache

from msgspec import UNSET, structs

from chatd.core import identity, names, replies
from chatd.core.codes import Code, Refusal
from chatd.core.commands import ComeBack, ComeIn, LogIn
from chatd.core.context import UNASKED, Context
from chatd.core.doors import Who, check_enter, check_entry, who_comes
from chatd.core.effects import Append, Effect, Fetch
from chatd.core.entrance import enter_as_guest, ignored_by, nick_for, token_of
from chatd.core.events import Became, Bookmark, BookmarksMoved, Entry, Event, LoggedIn, Shown
from chatd.core.places import check_since, joined
from chatd.core.questions import BookmarkWanted, KeptBookmark, Proven
from chatd.core.state import Room, State

NUMBERS = range(1000, 10_000)
MOST_UNREAD = 20  # messages of a direct room of which it is not known how much was read

Told = tuple[str, Bookmark, frozenset[str]]
"""A word, where its person was, and the ids of the rooms of which the person said so."""


@cache
def lists() -> tuple[tuple[str, ...], ...]:
    """What a word is made of: adjectives, and living and other things."""
    from importlib.resources import files  # slow to import

    text = files("chatd.core").joinpath("words.txt").read_text(encoding="utf-8")
    first, second = "\n".join(line for line in text.split("\n") if not line.startswith("#")).split("\n\n")
    return tuple(first.split()), tuple(second.split())


def word_of(chance: str) -> str:
    """The word that comes of a random id of 16 hexadecimal digits: one of more than three thousand million."""
    adjectives, things = lists()
    number, first = divmod(int(chance, 16), len(adjectives))
    number, second = divmod(number, len(things))
    return f"{adjectives[first]}-{things[second]}-{NUMBERS[number % len(NUMBERS)]}"


def key_of(secret: bytes, word: str) -> str:
    """What is kept of a word, however it was typed."""
    return hmac.digest(secret, b"come back: " + word.strip().casefold().encode("utf-8", "replace"), "sha256")[:16].hex()


def account_key(secret: bytes, user_id: str) -> str:
    """The key of the bookmark of an account: no word leads to it."""
    return hmac.digest(secret, b"account: " + user_id.encode(), "sha256")[:16].hex()


# -- the rules --------------------------------------------------------------------------------------------------------


def come_in(context: Context, command: ComeIn) -> list[Effect]:
    """Let a new guest in, with a word that is kept before it is told."""
    check_outside(context)
    login = enter_as_guest(context, command.nick)
    word = word_of(context.ids())
    bookmark = Bookmark(key_of(context.rules.secret, word), login.user_id, login.nick)
    # The login is the last: should the bookmark not be stored, the guest comes in all the same.
    return [Append((BookmarksMoved((bookmark,)), login), known=(word, bookmark, frozenset()))]


def come_back(context: Context, command: ComeBack) -> list[Effect]:
    """Let somebody in who was here before, into the same rooms."""
    check_outside(context)
    if context.known is UNASKED:
        return [Fetch(BookmarkWanted(key_of(context.rules.secret, command.word)))]
    kept: KeptBookmark | None = context.known
    if kept is None:
        raise Refusal(Code.SESSION_EXPIRED, "nobody can come back with this word, or no longer; choose a name")
    account = context.state.accounts.by_id.get(kept.bookmark.user_id)
    if account is not None:  # a word can be guessed more easily than a password
        reason = f"{account.name} has an account now: type that name, and then its password"
        raise Refusal(Code.ACCOUNT_REQUIRED, reason, details={"account": account.name})
    bookmark, told = placed(context, kept.bookmark, command)
    present = context.state.users.get(bookmark.user_id)
    nick = near_nick(context, bookmark) if present is None else present.nick
    who = Who(bookmark.user_id, nick)
    check_entry(context, who)
    bookmark, joins = welcome(context, bookmark, who)
    # From now on more is shown than the bookmark says; a server that is killed must not take it for exact.
    moved = BookmarksMoved((structs.replace(bookmark, is_exact=False),))
    events: list[Event] = [moved, LoggedIn(context.session_id, bookmark.user_id, nick, node=context.node), *joins]
    return [Append(tuple(events), known=(command.word.strip().casefold(), bookmark, told))]


def log_in(context: Context, command: LogIn) -> list[Effect]:
    """Let the owner of an account in, into the rooms of before, or let a guest go over to it."""
    name = command.account or ""
    user = None if context.session is None else context.session.user
    if user is not None and user.account is not None:
        raise Refusal(Code.INVALID_PARAMS, f"you are logged in already, as {user.account}")
    account = context.state.accounts.called(name)
    key = account_key(context.rules.secret, "" if account is None else account.id)
    if context.known is UNASKED:
        return [Fetch(identity.proof(context, command, name, key))]
    if context.known is None:
        raise Refusal(Code.AUTH_FAILED, identity.WRONG)
    proven: Proven = context.known
    event = identity.log_in(context, command, name)
    kept = Bookmark(key, event.user_id, event.nick) if proven.bookmark is None else proven.bookmark.bookmark
    direct = unread(context.state, event.user_id, kept, proven.cursors)
    if isinstance(event, Became):
        return [Append((event,), known=("", structs.replace(kept, rooms=direct), frozenset()))]
    named = tuple(shown for shown in kept.rooms if shown.name)
    bookmark, joins = welcome(context, structs.replace(kept, rooms=(*named, *direct)), who_comes(event))
    events: list[Event] = [BookmarksMoved((structs.replace(bookmark, is_exact=False),)), event, *joins]
    return [Append(tuple(events), known=("", bookmark, frozenset()))]


def welcome(context: Context, bookmark: Bookmark, who: Who) -> tuple[Bookmark, list[Event]]:
    """The rooms of a bookmark whose doors are open to who comes back, and the events of entering them."""
    rooms: list[Shown] = []
    joins: list[Event] = []
    for shown in bookmark.rooms:
        if shown.name:
            try:
                check_enter(context, context.state.room_called(shown.name), shown.name, who)
            except Refusal:
                continue
            joins.append(structs.replace(joined(context, shown.name), room_id=shown.room_id))
        rooms.append(shown)
    return structs.replace(bookmark, rooms=tuple(rooms)), joins


def unread(state: State, user_id: str, kept: Bookmark, cursors: dict[str, int]) -> tuple[Shown, ...]:
    """The direct rooms of somebody, each from where it was shown or read; of a new one, only its end."""
    places = {shown.room_id: shown.seq for shown in kept.rooms if not shown.name}
    found = []
    for room_id in sorted(state.directs.get(user_id, ())):
        room = state.rooms[room_id]
        seen = places.get(room_id, cursors.get(room_id, room.last_seq - MOST_UNREAD))
        found.append(Shown(room_id, "", max(0, seen, cursors.get(room_id, 0))))
    return tuple(found)


def check_outside(context: Context) -> None:
    """Refuse somebody who is in already."""
    if context.session is not None:
        nick = context.session.user.nick
        raise Refusal(Code.INVALID_PARAMS, f"you are {nick} already; type it in a new connection, instead of a name")


def placed(context: Context, bookmark: Bookmark, command: ComeBack) -> tuple[Bookmark, frozenset[str]]:
    """The bookmark with the numbers that the person knows better, or wants; and of which rooms these are."""
    rooms = {shown.room_id: shown for shown in bookmark.rooms}
    told = set()
    for name, since in command.places.items():
        room = called(context.state, bookmark.user_id, name)
        check_since(room, name, since)
        if room is not None:
            told.add(room.id)
            rooms[room.id] = Shown(room.id, "" if room.parties is not None else room.name, since)
    named = [shown for shown in rooms.values() if shown.name][: context.rules.limits.rooms_per_session]
    direct = [shown for shown in rooms.values() if not shown.name]
    is_exact = bookmark.is_exact or told.issuperset(rooms)
    return structs.replace(bookmark, rooms=(*named, *direct), is_exact=is_exact), frozenset(told)


def called(state: State, user_id: str, name: str) -> Room | None:
    """The room that this user calls so."""
    return state.direct_with(user_id, name[1:]) if name.startswith("@") else state.room_called(name)


def near_nick(context: Context, bookmark: Bookmark) -> str:
    """The nick of before; if it is taken by now, one that is near to it: coming back is no dead end."""
    try:
        return nick_for(context, bookmark.nick, bookmark.user_id)
    except Refusal:
        return names.suggest(bookmark.nick, lambda nick: not context.state.nick_taken(nick, bookmark.user_id))


def room_of(state: State, shown: Shown) -> tuple[Room, int] | None:
    """The room of a bookmark as it is now, and the number from which it goes on; None if it is gone.

    A room in which nothing was ever said has another id after a restart, and what was said in the new one is news. A
    journal that was set back does not know all that was shown.
    """
    room = state.rooms.get(shown.room_id)
    if room is not None:
        return room, min(shown.seq, room.last_seq)
    room = state.room_called(shown.name) if shown.name else None
    return None if room is None else (room, 0)


# -- what is told -----------------------------------------------------------------------------------------------------


def came_in(context: Context, command: ComeIn, entry: Entry, known: Told) -> replies.CameIn:
    return replies.CameIn(
        re=command.id,
        session=context.session_id,
        nick=context.me.user.nick,
        rooms=[],
        token=token_of(context),
        word=known[0],
    )


def came_back(context: Context, command: ComeBack | LogIn, entry: Entry, known: Told) -> replies.CameBack:
    word, bookmark, _ = known
    user, state = context.me.user, context.state
    since, missed, current = {}, 0, ""
    for shown in bookmark.rooms:
        found = room_of(state, shown)
        if found is not None:
            room, seq = found
            name = room.shown_to(user.id)
            since[name] = seq
            missed += room.last_seq - seq
            current = name if shown.room_id == bookmark.current else current
    return replies.CameBack(
        re=command.id,
        session=context.session_id,
        nick=user.nick,
        rooms=[],
        account=UNSET if user.account is None else user.account,
        token=token_of(context),
        ignored=ignored_by(state, user),
        word=word,
        current=current,
        since=since,
        missed=missed,
        exact=bookmark.is_exact,
        nick_before=UNSET if user.account or user.nick == bookmark.nick else bookmark.nick,
    )
