"""Doors: who may come onto the server, into a room, and speak there, as those in charge have ordered.

Each function refuses with the code and the reason, or lets somebody pass. What was ordered is in `charge`, and how it
comes to be in `moderation`.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

from chatd.core.addresses import is_public
from chatd.core.charge import RANKS, SERVER_ROOM, Charge, Ruling
from chatd.core.codes import Code, Refusal
from chatd.core.context import Context
from chatd.core.effects import Effect, Paced
from chatd.core.events import Admitted, Event, LoggedIn
from chatd.core.names import fold
from chatd.core.state import Room, User
from chatd.core.views import moment

OPERATOR = RANKS["operator"]
FREE: tuple[Effect, ...] = ()


class Who(NamedTuple):
    """Somebody at a door."""

    id: str
    nick: str
    account: str | None = None


def who_is(user: User) -> Who:
    """Somebody who is here."""
    return Who(user.id, user.nick, user.account)


def who_comes(event: LoggedIn) -> Who:
    """Somebody who is about to be."""
    return Who(event.user_id, event.nick, event.account)


# -- onto the server --------------------------------------------------------------------------------------------------


def check_entry(context: Context, who: Who) -> None:
    """Refuse somebody who is banned from the server, or whom it does not let in now."""
    server = context.state.server
    if server is None or context.state.is_operator(who.id):
        return
    ban = server.ban_of(who.id, who.nick, context.address, context.now)
    if ban is not None:
        raise banned(ban, "this server")
    level = server.get("lockdown")
    if level == "everyone":
        raise Refusal(Code.FORBIDDEN, "the server is locked: only its operators come in now")
    if level == "guests" and who.account is None:
        raise Refusal(Code.ACCOUNT_REQUIRED, "only people with an account come in now; log in with yours")


def check_registration(context: Context) -> None:
    """Refuse to make an account while the server does not."""
    server = context.state.server
    if server is not None and server.get("lockdown") != "off":
        raise Refusal(Code.REGISTRATION_CLOSED, "the server makes no accounts now; try again later")


def banned(ban: Ruling, where: str) -> Refusal:
    """The refusal that tells of a ban: for how long, and why."""
    until = f" until {moment(ban.until):%Y-%m-%d %H:%M} UTC" if ban.until else ""
    reason = f": {ban.reason}" if ban.reason else ""
    details = {"reason": ban.reason, **({"until": moment(ban.until).isoformat()} if ban.until else {})}
    return Refusal(Code.BANNED, f"you are banned from {where}{until}{reason}", details=details)


def is_new(context: Context, who: Who) -> bool:
    """Whether somebody from a public address has no account yet, or one so young that not everything is allowed."""
    seconds = context.rules.quarantine_seconds
    if not seconds or context.trusted or not is_public(context.address) or context.state.is_operator(who.id):
        return False
    account = context.state.accounts.by_id.get(who.id)
    return account is None or account.made + int(seconds * 1_000_000) > context.now


def new_here(what: str) -> Refusal:
    """The refusal of what somebody new may not do yet."""
    return Refusal(Code.FORBIDDEN, f"who is new here cannot {what} yet; with an account one can after a while")


# -- into a room ------------------------------------------------------------------------------------------------------


def check_enter(context: Context, room: Room | None, name: str, who: Who, key: str | None = None) -> tuple[Event, ...]:
    """Refuse somebody at a room's door; what is to be proposed before the entering, for somebody who has the key."""
    state = context.state
    if room is None:
        if fold(name) == SERVER_ROOM:
            raise Refusal(Code.FORBIDDEN, f"{SERVER_ROOM} is for what the server's operators do")
        if is_new(context, who):
            raise new_here("make rooms")
        return ()
    charge = room.charge
    if charge is None:
        return ()
    rank = state.rank(room, who.id)
    if rank >= OPERATOR:
        return ()
    ban = charge.ban_of(who.id, who.nick, context.address, context.now)
    if ban is not None:
        raise banned(ban, room.name)
    if charge.is_admitted(who.id, context.now):
        return ()
    join, details = charge.get("join"), {"room": room.name}
    if join == "invite" and rank < RANKS["speaker"]:
        raise Refusal(Code.INVITE_ONLY, f"{room.name} takes an invitation from one of its operators", details=details)
    if join == "accounts" and who.account is None:
        raise Refusal(Code.ACCOUNT_REQUIRED, f"{room.name} is for people with an account", details=details)
    return check_key(context, room, charge, who, key)


def check_key(context: Context, room: Room, charge: Charge, who: Who, key: str | None) -> tuple[Event, ...]:
    """Refuse a wrong key. Who had the right one need not have it again."""
    if not charge.key:
        return ()
    if not key:
        raise Refusal(Code.BAD_KEY, f"{room.name} takes a key", details={"room": room.name})
    if not hmac.compare_digest(charge.key, kept_of_key(context.rules.secret, room.id, key)):
        raise Refusal(Code.BAD_KEY, f"this is not the key of {room.name}", details={"room": room.name})
    return (Admitted(room.id, ((who.id, who.nick),), admitted_until(context, who.account)),)


def kept_of_key(secret: bytes, room_id: str, key: str) -> str:
    """What is kept of a room's key."""
    return hmac.digest(secret, b"room key: " + room_id.encode() + b" " + key.encode("utf-8", "replace"), "sha256").hex()


def admitted_until(context: Context, account: str | None) -> int:
    """How long somebody stays admitted: a guest as long as one can come back as the same, an account for good."""
    return 0 if account is not None else context.now + int(context.rules.token_seconds * 1_000_000)


# -- speaking ---------------------------------------------------------------------------------------------------------


def check_speak(context: Context, room: Room | None) -> tuple[Effect, ...]:
    """Refuse somebody who may not speak in a room now; what is to be done with what is said, if not."""
    server = context.state.server
    charge = None if room is None else room.charge
    if (charge is None or not charge.restricts) and (server is None or not server.restricts):
        return FREE  # as mostly
    return _check_speak(context, room, charge, server)


def _check_speak(
    context: Context, room: Room | None, charge: Charge | None, server: Charge | None
) -> tuple[Effect, ...]:
    user, now, state = context.me.user, context.now, context.state
    if server is not None and not state.is_operator(user.id):
        check_mute(server.mute_of(user.id, user.nick, now), "on this server")
        level = server.get("lockdown")
        if level == "everyone":
            raise Refusal(Code.FORBIDDEN, "the server is locked: only its operators speak now")
        if level == "guests" and user.account is None:
            raise Refusal(Code.ACCOUNT_REQUIRED, "only people with an account speak now")
    if room is None or charge is None or state.rank(room, user.id) >= OPERATOR:
        return FREE
    details = {"room": room.name}
    check_mute(charge.mute_of(user.id, user.nick, now), f"in {room.name}")
    speak = charge.get("speak")
    if speak == "accounts" and user.account is None:
        raise Refusal(Code.ACCOUNT_REQUIRED, f"in {room.name} people with an account speak", details=details)
    if speak == "speakers" and charge.role(user.id) != "speaker":
        raise Refusal(Code.FORBIDDEN, f"{room.name} is moderated: its operators say who speaks", details=details)
    if speak == "operators":
        raise Refusal(Code.FORBIDDEN, f"{room.name} is to be read: only its operators speak", details=details)
    if not charge.slow:
        return FREE
    wait = context.paces.get((room.id, user.id), 0) + charge.slow * 1_000_000 - now
    if wait > 0:
        seconds = round(wait / 1_000_000 + 0.005, 2)
        reason = f"in {room.name} one speaks every {charge.slow} s; try again in {seconds:g} s"
        raise Refusal(Code.RATE_LIMITED, reason, retry_after=seconds, details={"limit": "slow", "value": charge.slow})
    return (Paced(room.id),)


def check_mute(mute: Ruling | None, where: str) -> None:
    """Refuse somebody who is muted."""
    if mute is None:
        return
    until = f" until {moment(mute.until):%Y-%m-%d %H:%M} UTC" if mute.until else ""
    reason = f": {mute.reason}" if mute.reason else ""
    details = {"reason": mute.reason, **({"until": moment(mute.until).isoformat()} if mute.until else {})}
    raise Refusal(Code.MUTED, f"you may not speak {where}{until}{reason}", details=details)
