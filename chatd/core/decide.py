"""`decide` looks at a command and either refuses it or says what is to be done. It reads and never writes.

The rules themselves are in `entrance`, `identity` and `comeback` (who one is), `places` (rooms), `doors` and
`moderation` (who is in charge of them), `messages` (what is said) and `lists` (what can be looked up); here is the
table of them, and who may ask for what.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chatd.core import comeback, commands, entrance, identity, lists, messages, moderation, places
from chatd.core.codes import Behind, Code, Refusal
from chatd.core.commands import Command
from chatd.core.context import UNASKED, Context
from chatd.core.effects import Effect, Fetch
from chatd.core.questions import UpToDate

DECIDE: dict[type[Command], Callable[[Context, Any], list[Effect]]] = {
    commands.Hello: entrance.hello,
    commands.Auth: identity.auth,
    commands.ComeIn: comeback.come_in,
    commands.ComeBack: comeback.come_back,
    commands.LogIn: comeback.log_in,
    commands.Ping: entrance.ping,
    commands.Nick: entrance.nick,
    commands.Join: places.join,
    commands.Part: places.part,
    commands.Send: messages.send,
    commands.Relate: messages.relate,
    commands.History: messages.history,
    commands.Resume: places.resume,
    commands.MarkRead: messages.mark_read,
    commands.List: lists.look_up,
    commands.Set: moderation.change,
    commands.Moderate: moderation.moderate,
    commands.Presence: places.presence,
    commands.Quit: entrance.leave,
}

# So long it may take, in a cluster, until somebody who has just gone is known to be.
GOING_SECONDS = 0.3

# What is allowed before one has said who one is; `hello` itself before anything else.
BEFORE_HELLO = frozenset({commands.Hello, commands.Ping, commands.Quit})
BEFORE_AUTH = BEFORE_HELLO | {commands.Auth, commands.ComeIn, commands.ComeBack, commands.LogIn, commands.Resume}


def decide(context: Context, command: Command) -> list[Effect]:
    """What is to be done about a command; raises `Refusal` with the code and the reason."""
    kind = type(command)
    if context.session is None:
        if not context.greeted and kind not in BEFORE_HELLO:
            raise Refusal(Code.NOT_REGISTERED, "say hello first: {type: hello, versions: [1]}")
        if kind not in BEFORE_AUTH:
            raise Refusal(Code.NOT_REGISTERED, "say who you are first: {type: auth, mechanism: guest, nick: …}")
    try:
        return DECIDE[kind](context, command)
    except Refusal as refusal:
        if not context.node or context.known is not UNASKED or not may_be_late(command, refusal):
            raise
        return [Fetch(UpToDate(0.0 if isinstance(refusal, Behind) else GOING_SECONDS))]


def may_be_late(command: Command, refusal: Refusal) -> bool:
    """Whether a node of a cluster refuses this perhaps only because it has not heard of everything yet.

    Somebody who comes from another node may know of later numbers; and who has just gone, perhaps to come again here,
    has the name until that comes out of the stream.
    """
    if isinstance(refusal, Behind):
        return True
    is_guest = isinstance(command, commands.Auth) and command.mechanism == "guest"
    return refusal.code is Code.NICK_IN_USE and (is_guest or isinstance(command, commands.ComeIn | commands.Nick))
