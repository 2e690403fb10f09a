"""Rules of the entrance: hello, who one is, what one is called, and going."""

from __future__ import annotations

from msgspec import UNSET

from chatd.core import names, tokens
from chatd.core.codes import Code, Refusal
from chatd.core.commands import Auth, Hello, Nick, Ping, Quit
from chatd.core.context import UNASKED, Context
from chatd.core.effects import Answer, Append, Effect, Fetch, Greet, Leave
from chatd.core.events import LoggedIn, NickChanged
from chatd.core.questions import CursorsWanted
from chatd.core.replies import NickTaken, Pong, Welcome
from chatd.core.sizes import check_size
from chatd.core.views import moment

VERSIONS = (1,)
CAPABILITIES = frozenset({"echo", "presence", "typing", "relations", "data", "bot"})
MECHANISMS = ("guest", "token")


def hello(context: Context, command: Hello) -> list[Effect]:
    """Agree on a version and on capabilities."""
    if context.greeted:
        raise Refusal(Code.INVALID_PARAMS, "hello was said already")
    common = [version for version in command.versions if version in VERSIONS]
    if not common:
        raise Refusal(Code.UNSUPPORTED_VERSION, "this server speaks version 1", details={"versions": list(VERSIONS)})
    rules = context.rules
    caps = CAPABILITIES & frozenset(command.caps)
    reply = Welcome(
        re=command.id,
        version=max(common),
        caps=sorted(caps),
        server=rules.server,
        server_version=rules.server_version,
        network=rules.network,
        time=moment(context.now),
        limits=rules.limits.told(trusted=context.trusted),
        auth=list(MECHANISMS),
        registration="closed",
        durability=rules.durability,
        motd=rules.motd or UNSET,
    )
    return [Greet(caps), Answer(reply)]


def auth(context: Context, command: Auth) -> list[Effect]:
    """Let somebody in, as a new guest or, by a token, as the guest of before."""
    if context.session is not None:
        raise Refusal(Code.INVALID_PARAMS, f"you are logged in already, as {context.session.user.nick}")
    if command.mechanism == "guest":
        return [Append((enter_as_guest(context, command.nick),))]
    if command.mechanism in ("register", "invite"):
        raise Refusal(Code.REGISTRATION_CLOSED, "this server has no accounts yet; come in as a guest")
    if command.mechanism != "token":
        raise Refusal(
            Code.AUTH_FAILED,
            f"this server does not know the mechanism {command.mechanism!r} yet; it knows {', '.join(MECHANISMS)}",
            details={"auth": list(MECHANISMS)},
        )
    event = enter_by_token(context, command.token, command.nick)
    if context.known is UNASKED:
        return [Fetch(CursorsWanted(event.user_id))]
    return [Append((event,), known=context.known)]


def enter_as_guest(context: Context, wish: str | None) -> LoggedIn:
    """The login of a new guest under the wished nick, or under a free one if there is no wish."""
    user_id = context.ids()
    if wish is None:
        wish = names.suggest("guest", lambda nick: not context.state.nick_taken(nick, user_id))
    return LoggedIn(context.session_id, user_id, nick_for(context, wish, user_id), bot="bot" in context.caps)


def enter_by_token(context: Context, token: str | None, wish: str | None) -> LoggedIn:
    """The login of a guest who was here before."""
    rules = context.rules
    if not token:
        raise Refusal(Code.INVALID_PARAMS, "the mechanism token needs a token")
    identity = tokens.read(rules.secret, token, now=context.now / 1e6, lifetime=rules.token_seconds)
    if identity is None:
        raise Refusal(Code.SESSION_EXPIRED, "this token is not valid any more; log in as a guest")
    present = context.state.users.get(identity.user_id)
    nick = present.nick if present is not None else nick_for(context, wish or identity.nick, identity.user_id)
    return LoggedIn(context.session_id, identity.user_id, nick, bot="bot" in context.caps)


def token_of(context: Context) -> str:
    """The token with which the one who asks can come back as the same guest."""
    user = context.me.user
    return tokens.sign(context.rules.secret, tokens.Identity(user.id, user.nick, context.now // 1_000_000))


def nick(context: Context, command: Nick) -> list[Effect]:
    """Call oneself otherwise."""
    user = context.me.user
    wanted = nick_for(context, command.nick, user.id)
    if wanted == user.nick:
        return [Answer(NickTaken(re=command.id, nick=wanted))]
    return [Append((NickChanged(user.id, wanted),))]


def nick_for(context: Context, wish: str, user_id: str) -> str:
    """The wished nick in its steady form, if it is well made and free for this user; refuses with a suggestion."""
    state = context.state
    try:
        wish = names.check_nick(wish)
        taken = state.nick_taken(wish, user_id)
    except names.NameRefused as fault:
        raise nick_refused(context, fault.code, fault.reason, wish) from None
    if taken == "same":
        raise nick_refused(context, Code.NICK_IN_USE, f"the name {wish} is in use", wish)
    if taken == "alike":
        raise nick_refused(context, Code.NICK_CONFUSABLE, f"the name {wish} looks like another that is in use", wish)
    return wish


def nick_refused(context: Context, code: Code, reason: str, wish: str) -> Refusal:
    """A refusal that suggests a nick that would do."""
    suggestion = names.suggest(wish, lambda nick: not context.state.nick_taken(nick, ""))
    return Refusal(code, reason, details={"suggestion": suggestion})


def ping(context: Context, command: Ping) -> list[Effect]:
    """Tell the time."""
    if command.data is not None:
        check_size(context, "", command.data)
    return [Answer(Pong(re=command.id, time=moment(context.now), data=command.data))]


def leave(context: Context, command: Quit) -> list[Effect]:
    """Go."""
    return [Leave(command.reason or "")]
