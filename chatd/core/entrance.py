"""Rules of the entrance: hello, being a guest or who one was before, what one is called, and going.

Accounts and their passwords are in `identity`.
"""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from chatd.core import names, tokens
from chatd.core.codes import Code, Refusal
from chatd.core.commands import Hello, Nick, Ping, Quit
from chatd.core.context import Context
from chatd.core.doors import banned, check_entry, who_comes
from chatd.core.effects import Answer, Append, Effect, Greet, Leave
from chatd.core.events import LoggedIn, NickChanged
from chatd.core.limits import Rules
from chatd.core.replies import NickTaken, Pong, Welcome
from chatd.core.sizes import check_size
from chatd.core.state import State, User
from chatd.core.views import moment

VERSIONS = (1,)
CAPABILITIES = frozenset({"echo", "presence", "typing", "relations", "data", "bot"})
MECHANISMS = ("guest", "token", "password", "scram-sha-256", "register", "invite")
# What each kind of registration takes away from them.
WITHOUT: dict[str, tuple[str, ...]] = {"open": (), "invite": ("register",), "closed": ("register", "invite")}


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
        auth=mechanisms(rules),
        registration=rules.registration,
        durability=rules.durability,
        motd=rules.motd or UNSET,
    )
    return [Greet(caps), Answer(reply)]


def enter_as_guest(context: Context, wish: str | None) -> LoggedIn:
    """The login of a new guest under the wished nick, or under a free one if there is no wish."""
    user_id = context.ids()
    if wish is None:
        wish = names.suggest("guest", lambda nick: not context.state.nick_taken(nick, user_id))
    bot = "bot" in context.caps
    login = LoggedIn(context.session_id, user_id, nick_for(context, wish, user_id), bot=bot, node=context.node)
    check_entry(context, who_comes(login))
    return login


def enter_by_token(context: Context, token: str | None, wish: str | None, room: str = "") -> LoggedIn:
    """The login of somebody who was here before. A token for one room is good for nothing else, but for ever."""
    rules, state = context.rules, context.state
    if not token:
        raise Refusal(Code.INVALID_PARAMS, "the mechanism token needs a token")
    identity = tokens.read(rules.secret, token, now=context.now / 1e6, lifetime=rules.token_seconds)
    if identity is not None and identity.room and names.fold(identity.room) != names.fold(room):
        raise Refusal(Code.FORBIDDEN, f"this token is for writing into {identity.room} over HTTP, and nothing else")
    if identity is None or not state.accounts.is_good(identity.user_id, identity.generation):
        raise Refusal(Code.SESSION_EXPIRED, "this token is not valid any more; log in anew")
    present, account = state.users.get(identity.user_id), state.accounts.by_id.get(identity.user_id)
    nick = present.nick if present is not None else nick_for(context, wish or identity.nick, identity.user_id)
    name = None if account is None else account.name
    who = (identity.user_id, nick, name, "bot" in context.caps, identity.device)
    login = LoggedIn(context.session_id, *who, context.node)
    check_entry(context, who_comes(login))
    return login


def token_of(context: Context) -> str:
    """The token with which the one who asks can come back as the same person."""
    user, device = context.me.user, context.me.device
    account = context.state.accounts.by_id.get(user.id)
    generation = 0 if account is None else account.generation
    identity = tokens.Identity(user.id, user.nick, context.now // 1_000_000, generation, device)
    return tokens.sign(context.rules.secret, identity)


def ignored_by(state: State, user: User) -> list[str] | UnsetType:
    """Whom the owner of an account does not want to hear."""
    account = state.accounts.by_id.get(user.id)
    return UNSET if account is None or not account.ignored else list(account.ignored)


def nick(context: Context, command: Nick) -> list[Effect]:
    """Call oneself otherwise."""
    user = context.me.user
    wanted = nick_for(context, command.nick, user.id)
    if wanted == user.nick:
        return [Answer(NickTaken(re=command.id, nick=wanted))]
    server = context.state.server
    if server is not None and (ban := server.ban_of("", wanted, "", context.now)) is not None:
        raise banned(ban, "this server")
    return [Append((NickChanged(user.id, wanted),))]


def nick_for(context: Context, wish: str, user_id: str) -> str:
    """The wished nick in its steady form, if it is well made and free for this user; refuses with a suggestion."""
    state = context.state
    try:
        wish = names.check_nick(wish)
        taken = state.nick_taken(wish, user_id)
    except names.NameRefused as fault:
        raise nick_refused(context, fault.code, fault.reason, wish) from None
    if taken == "owned":
        reason = f"the name {wish} belongs to an account; log in with its password, or take another"
        raise nick_refused(context, Code.NICK_RESERVED, reason, wish)
    if taken == "same":
        raise nick_refused(context, Code.NICK_IN_USE, f"the name {wish} is in use", wish)
    if taken == "alike":
        raise nick_refused(context, Code.NICK_CONFUSABLE, f"the name {wish} looks like another that is in use", wish)
    return wish


def nick_refused(context: Context, code: Code, reason: str, wish: str) -> Refusal:
    """A refusal that suggests a nick that would do, and names the account that the wished one belongs to."""
    account = context.state.accounts.called(wish) if code == Code.NICK_RESERVED else None
    near = wish
    if account is not None:  # whoever comes by mistake sees that it is not the same
        numbered = (f"{account.name}_{n}" for n in range(2, 100))
        near = next((nick for nick in numbered if not context.state.nick_taken(nick, "")), wish)
    suggestion = names.suggest(near, lambda nick: not context.state.nick_taken(nick, ""))
    owned = {} if account is None else {"account": account.name}
    return Refusal(code, reason, details={"suggestion": suggestion, **owned})


def mechanisms(rules: Rules) -> list[str]:
    """Those of `auth` that this server knows."""
    without = (*WITHOUT[rules.registration], *(() if rules.scram else ("scram-sha-256",)))
    return [one for one in MECHANISMS if one not in without]


def ping(context: Context, command: Ping) -> list[Effect]:
    """Tell the time."""
    if command.data is not None:
        check_size(context, "", command.data)
    return [Answer(Pong(re=command.id, time=moment(context.now), data=command.data))]


def leave(context: Context, command: Quit) -> list[Effect]:
    """Go."""
    return [Leave(command.reason or "")]
