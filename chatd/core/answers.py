"""Answers: the replies to commands that went through the journal, made when their event has come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import UNSET

from chatd.core import comeback, commands, replies
from chatd.core.codes import Code, Refusal
from chatd.core.commands import Command
from chatd.core.context import Context
from chatd.core.entrance import ignored_by, token_of
from chatd.core.events import Became, Entry, Fate
from chatd.core.limits import Rules
from chatd.core.lists import role_of
from chatd.core.questions import Proven
from chatd.core.replay import plan
from chatd.core.replies import Reply
from chatd.core.state import State
from chatd.core.views import moment

MOST_ROOMS_TOLD = 200


def answer(context: Context, command: Command, entry: Entry, known: Any) -> Reply:
    """The reply to a command whose event came back; `known` is what its `Append` carried along."""
    return ANSWER[type(command)](context, command, entry, known)


def refusal_of(code: Code | None) -> Refusal:
    """What a command's owner is told when the journal refused its event."""
    code = code or Code.INTERNAL
    return Refusal(code, WORDS.get(code, "this could not be done"))


WORDS = {
    Code.STORE_UNAVAILABLE: "this could not be stored, so it was not said; repeat it with the same msg_id",
    Code.OUTCOME_UNKNOWN: "it is not known whether this was stored; repeat it with the same msg_id",
    Code.MSG_ID_REUSED: "this msg_id was used for something else",
    Code.NO_SUCH_MESSAGE: "this message is not there any more",
    Code.ACCOUNT_EXISTS: "somebody else took this name just now",
    Code.AUTH_FAILED: "this invite is not good any more; ask for another one",
    Code.NICK_CONFUSABLE: "somebody else took a name that looks like this one just now",
    Code.INTERNAL: "something went wrong in the server; it was logged",
}


def logged_in(context: Context, command: commands.Auth, entry: Entry, known: Proven | None) -> Reply:
    user = context.me.user
    cursors = {} if known is None else known.cursors
    return replies.LoggedIn(
        re=command.id,
        session=context.session_id,
        nick=user.nick,
        # Who was in already knows them, and what was read where.
        rooms=[] if known is None and user.account is not None else known_rooms(context, cursors),
        account=UNSET if user.account is None else user.account,
        token=token_of(context),
        ignored=ignored_by(context.state, user),
        data=UNSET if known is None or not known.scram else {"message": known.scram},
    )


def log_in(context: Context, command: commands.LogIn, entry: Entry, known: comeback.Told) -> Reply:
    """Who was in as a guest is not told of rooms: it is in them."""
    if isinstance(entry.event, Became):
        return logged_in(context, command, entry, None)
    return comeback.came_back(context, command, entry, known)


def known_rooms(context: Context, cursors: dict[str, int]) -> list[replies.KnownRoom]:
    """The rooms that a user has a cursor in, and the user's direct rooms; no more than a frame holds."""
    state, user_id = context.state, context.me.user.id
    known = sorted(set(cursors) | state.directs.get(user_id, set()))
    return [
        replies.KnownRoom(
            room=state.rooms[room_id].shown_to(user_id),
            last_seq=state.rooms[room_id].last_seq,
            read_seq=cursors.get(room_id, 0),
        )
        for room_id in known
        if room_id in state.rooms
    ][:MOST_ROOMS_TOLD]


def nick_taken(context: Context, command: commands.Nick, entry: Entry, known: Any) -> Reply:
    return replies.NickTaken(re=command.id, nick=context.me.user.nick)


def joined(context: Context, command: commands.Join, entry: Entry, known: Any) -> Reply:
    room = context.find_room(command.room)
    name = room.shown_to(context.me.user.id)
    return replies.Joined(
        re=command.id,
        room=name,
        room_id=room.id,
        first_seq=room.first_seq,
        last_seq=room.last_seq,
        topic=room.topic,
        role=role_of(context.state, room, context.me.user, context.now),
        members_count=len(room.members if room.parties is None else room.parties),
        limited=plan(room, name, command.since, command.replay_limit).limited,
    )


def resumed(
    context: Context, command: commands.Resume, entry: Entry, known: tuple[bool, dict[str, replies.Problem]]
) -> Reply:
    expired, refused = known
    rooms = {}
    for name, since in command.rooms.items():
        room = context.room_or_none(name)
        if room is None:  # a direct room whose other side cannot be found any more
            continue
        if room.parties is None and room.id not in context.me.rooms:  # banned there since it was asked
            continue
        rooms[name] = replies.ResumedRoom(last_seq=room.last_seq, limited=plan(room, name, since).limited)
    return replies.Resumed(re=command.id, rooms=rooms, expired=expired, refused=refused or UNSET)


def done(context: Context, command: Command, entry: Entry, known: Any) -> Reply:
    return replies.Done(re=command.id)


def sent(context: Context, command: commands.Send | commands.Relate, entry: Entry, known: Any) -> Reply:
    return said(context.state, context.rules, command, entry)


def said(state: State, rules: Rules, command: commands.Send | commands.Relate, entry: Entry) -> Reply:
    """The reply to what was said, which takes no more than this."""
    event: Any = entry.event
    seq, room_id = entry.seq, event.room_id
    room = state.rooms[room_id]
    return replies.Sent(
        room.name if room.parties is None else room.shown_to(event.author),
        seq,
        f"{room_id}:{seq}",
        moment(entry.time),
        entry.fate is Fate.REPEATED,
        rules.durability,
        re=command.id,
    )


def changed(context: Context, command: commands.Set | commands.Moderate, entry: Entry, known: Any) -> Reply:
    if entry.seq:
        return replies.Changed(re=command.id, seq=entry.seq)
    return replies.Changed(re=command.id)


def read_marked(context: Context, command: commands.MarkRead, entry: Entry, known: Any) -> Reply:
    return replies.ReadMarked(re=command.id, seq=command.seq)


ANSWER: dict[type[Command], Callable[[Context, Any, Entry, Any], Reply]] = {
    commands.Auth: logged_in,
    commands.ComeIn: comeback.came_in,
    commands.ComeBack: comeback.came_back,
    commands.LogIn: log_in,
    commands.Nick: nick_taken,
    commands.Join: joined,
    commands.Part: done,
    commands.Send: sent,
    commands.Relate: sent,
    commands.Resume: resumed,
    commands.MarkRead: read_marked,
    commands.Set: changed,
    commands.Moderate: changed,
    commands.Presence: done,
}
