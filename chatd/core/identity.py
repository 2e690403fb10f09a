"""Rules of who one is: the mechanisms of `auth`, among them those with a password.

A password goes from here into a question to the hub, which proves or hashes it beside the loop; what comes back says
yes or no, or what is to be kept. So what is kept of passwords never gets here. Whether a password may be tried so soon
after wrong ones is the hub's to know.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable

from chatd.core import names
from chatd.core.codes import Code, Refusal
from chatd.core.commands import Auth
from chatd.core.context import UNASKED, Context
from chatd.core.doors import Who, check_entry, check_registration
from chatd.core.effects import Answer, Append, Effect, Fetch
from chatd.core.entrance import enter_as_guest, enter_by_token, mechanisms, nick_for, nick_refused
from chatd.core.events import AccountMade, Became, Event, LoggedIn, NickChanged, PasswordChanged
from chatd.core.questions import Challenge, ChallengeWanted, CursorsWanted, Hashed, HashWanted, Proof, Proven
from chatd.core.replies import Challenged
from chatd.core.state import reads_as
from chatd.core.text import clean_line

PASSWORD_BYTES = 1024
INVITE_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none of them looks like another
INVITE = re.compile(rf"[{INVITE_LETTERS}]{{4}}(-[{INVITE_LETTERS}]{{4}}){{3}}")
DEVICE_CHARACTERS = 64
MESSAGE_CHARACTERS = 2048
WRONG = "the account or the password is wrong"


def auth(context: Context, command: Auth) -> list[Effect]:
    """Let somebody in; or make an account of a guest who is in, or let the guest go over to an account."""
    if command.mechanism == "scram-sha-256" and not context.rules.scram:
        known = mechanisms(context.rules)
        raise Refusal(
            Code.AUTH_FAILED,
            f"this server does not use the mechanism {command.mechanism}; it uses {', '.join(known)}",
            details={"auth": known},
        )
    return MECHANISM[command.mechanism](context, command)


def guest(context: Context, command: Auth) -> list[Effect]:
    """A new guest."""
    check_outside(context)
    return [Append((enter_as_guest(context, command.nick),))]


def token(context: Context, command: Auth) -> list[Effect]:
    """Somebody who was here before."""
    check_outside(context)
    event = enter_by_token(context, command.token, command.nick)
    if context.known is UNASKED:
        return [Fetch(CursorsWanted(reads_as(event.user_id, event.device)))]
    return [Append((event,), known=Proven(context.known))]


def check_outside(context: Context) -> None:
    """Refuse somebody who is in already."""
    if context.session is not None:
        raise Refusal(Code.INVALID_PARAMS, f"you are logged in already, as {context.session.user.nick}")


# -- with a password --------------------------------------------------------------------------------------------------


def password(context: Context, command: Auth) -> list[Effect]:
    """The owner of an account, from outside or as a guest; or, from inside it, another password: `data: {new: …}`."""
    name = command.account or command.nick
    if not name or not command.password:
        raise Refusal(Code.INVALID_PARAMS, "the mechanism password needs account and password")
    mine = None if context.session is None else context.session.user.account
    if mine is not None and (command.data is None or names.fold(mine) != names.fold(name)):
        raise Refusal(Code.INVALID_PARAMS, f"you are logged in already, as {mine}")
    new = None if command.data is None else new_password(context, command, name)
    if context.known is UNASKED:
        return [Fetch(proof(context, command, name))]
    if context.known is None:
        raise Refusal(Code.AUTH_FAILED, WRONG)
    if new is not None:
        return change_password(context, new)
    return [Append((log_in(context, command, name),), known=context.known)]


def scram(context: Context, command: Auth) -> list[Effect]:
    """As with a password, which the client proves to know without telling it: `data: {message: …}`, twice."""
    name = command.account or command.nick
    message = command.data.get("message") if isinstance(command.data, dict) else None
    if not name or not isinstance(message, str) or len(message) > MESSAGE_CHARACTERS:
        raise Refusal(
            Code.INVALID_PARAMS,
            "the mechanism scram-sha-256 needs account and data: {message: …}, of at most"
            f" {MESSAGE_CHARACTERS} characters",
        )
    if context.session is not None and context.session.user.account is not None:
        raise Refusal(Code.INVALID_PARAMS, f"you are logged in already, as {context.session.user.account}")
    if context.known is UNASKED:
        asked = proof(context, command, name, scram=message)
        is_first = not message.startswith("c=")
        return [Fetch(ChallengeWanted(name, asked.user_id, message) if is_first else asked)]
    if isinstance(context.known, Challenge):
        return [Answer(Challenged(re=command.id, data={"message": context.known.message}))]
    if context.known is None:
        raise Refusal(Code.AUTH_FAILED, WRONG)
    return [Append((log_in(context, command, name),), known=context.known)]


def proof(context: Context, command: Auth, name: str, key: str = "", scram: str = "") -> Proof:
    """The question whether this is the password. For an account that cannot be used it is never right."""
    account = context.state.accounts.called(name[:256])
    user_id = "" if account is None or account.disabled else account.id
    return Proof(name, user_id, command.password or "", reads_as(user_id, device_of(command)), key, scram)


def log_in(context: Context, command: Auth, name: str) -> LoggedIn | Became:
    """The event of coming in as the owner of an account, whose password was right."""
    account = context.state.accounts.called(name)
    if account is None or account.disabled:  # it was disabled meanwhile
        raise Refusal(Code.AUTH_FAILED, WRONG)
    present = context.state.users.get(account.id)
    nick = present.nick if present is not None else nick_for(context, command.nick or account.name, account.id)
    check_entry(context, Who(account.id, nick, account.name))
    if context.session is not None:
        return Became(context.session_id, account.id, nick, account.name, device_of(command))
    bot = "bot" in context.caps
    return LoggedIn(context.session_id, account.id, nick, account.name, bot, device_of(command), context.node)


def device_of(command: Auth) -> str:
    """What the device is called that one comes from."""
    return clean_line(command.device or "")[:DEVICE_CHARACTERS]


def new_password(context: Context, command: Auth, name: str) -> str:
    """The password that is to take the place of the present one."""
    new = command.data.get("new") if isinstance(command.data, dict) else None
    if context.session is None or not isinstance(new, str):
        raise Refusal(Code.INVALID_PARAMS, "to change your password, log in, and give data: {new: …}")
    check_password(context, new, name)
    return new


def change_password(context: Context, new: str) -> list[Effect]:
    """The old one was right: hash the new one, then keep it."""
    if isinstance(context.known, Proven):
        return [Fetch(HashWanted(new))]
    return [Append((PasswordChanged(context.me.user.id, context.known.verifier, context.session_id),))]


# -- making an account ------------------------------------------------------------------------------------------------


def register(context: Context, command: Auth) -> list[Effect]:
    """A new account, for somebody outside or for a guest, who stays the same person and keeps all messages."""
    check_open(context, command)
    if context.session is not None and context.session.user.account is not None:
        raise Refusal(Code.INVALID_PARAMS, f"you have an account already: {context.session.user.account}")
    session = context.session
    name = command.account or command.nick or ("" if session is None else session.user.nick)
    user_id = context.ids() if session is None else session.user.id
    name = free_name(context, name, user_id)
    check_entry(context, Who(user_id, name, name))
    check_password(context, command.password or "", name)
    key = invite_key(context.rules.secret, command.token or "") if command.mechanism == "invite" else ""
    if context.known is UNASKED:
        return [Fetch(HashWanted(command.password or "", key))]
    made: Hashed = context.known
    if not made.verifier:
        raise Refusal(Code.AUTH_FAILED, "this invite is not good, or not any more; ask for another one")
    account = AccountMade(user_id, name, made.verifier, key)
    if session is None:
        bot = "bot" in context.caps
        login = LoggedIn(context.session_id, user_id, name, name, bot, device_of(command), context.node)
        return [Append((account, login), known=Proven({}))]
    renamed: tuple[Event, ...] = () if session.user.nick == name else (NickChanged(user_id, name),)
    return [Append((*renamed, account))]


def check_open(context: Context, command: Auth) -> None:
    """Refuse to make an account in a way that this server does not allow."""
    check_registration(context)
    registration = context.rules.registration
    if registration == "closed":
        raise Refusal(Code.REGISTRATION_CLOSED, "this server makes no accounts by itself; ask its operator for one")
    if command.mechanism == "register" and registration == "invite":
        raise Refusal(Code.REGISTRATION_CLOSED, "an account takes an invite here; ask the operator for one")
    if command.mechanism == "invite" and not command.token:
        raise Refusal(Code.INVALID_PARAMS, "the mechanism invite needs the token of an invite")


def free_name(context: Context, wish: str, user_id: str) -> str:
    """The wished name in its steady form, if nobody owns it, has it, or one that looks like it."""
    try:
        return nick_for(context, wish, user_id)
    except Refusal as refusal:
        if refusal.code == Code.NICK_RESERVED and context.state.accounts.called(wish) is not None:
            raise nick_refused(context, Code.ACCOUNT_EXISTS, f"{wish} belongs to somebody already", wish) from None
        raise


def check_password(context: Context, password: str, name: str) -> None:
    """Refuse a password that is found by trying."""
    least = context.rules.password_chars
    if len(password) < least:
        raise Refusal(
            Code.WEAK_PASSWORD,
            f"a password has at least {least} characters",
            details={"limit": "password_chars", "value": least},
        )
    if len(password.encode("utf-8", "replace")) > PASSWORD_BYTES:
        raise Refusal(Code.WEAK_PASSWORD, f"a password has at most {PASSWORD_BYTES} bytes")
    plain = password.casefold()
    if len(set(plain)) < 4 or plain.strip("0123456789!.?") in (names.fold(name), "password", "passwort", "qwerty", ""):
        raise Refusal(Code.WEAK_PASSWORD, "this password would be guessed at once; several words are better")


def invite_key(secret: bytes, word: str) -> str:
    """What is kept of the word of an invite, however it was typed."""
    plain = word.strip().replace("-", "").casefold().encode("utf-8", "replace")
    return hmac.digest(secret, b"invite: " + plain, "sha256")[:16].hex()


MECHANISM: dict[str, Callable[[Context, Auth], list[Effect]]] = {
    "guest": guest,
    "token": token,
    "password": password,
    "scram-sha-256": scram,
    "register": register,
    "invite": register,
}
