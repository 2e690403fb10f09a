"""What becomes of accounts when their entries come: the part of `apply` that is about them.

As all of `apply` it never refuses to run, never raises, and gives the same result on every node.
"""

from __future__ import annotations

from chatd.core import effects, names
from chatd.core.cluster_events import AccountBrought
from chatd.core.codes import Code
from chatd.core.effects import Effect
from chatd.core.events import AccountDisabled, AccountMade, Became, Entry, InviteMade, PasswordChanged, PasswordRehashed
from chatd.core.questions import StoredAccount
from chatd.core.state import State, User

NOTHING: list[Effect] = []


def unfit(state: State, user_id: str, account: str | None) -> effects.Rejected | None:
    """Why somebody cannot be logged in so, as accounts are by now."""
    known = state.accounts.by_id.get(user_id)
    if account is not None and known is None:
        return effects.Rejected(
            Code.ACCOUNT_EXISTS, "the account was not made; perhaps somebody took the name just now"
        )
    if known is not None and (account is None or known.disabled):
        return effects.Rejected(Code.SESSION_EXPIRED, "this account can no longer be used so")
    return None


def account_made(state: State, entry: Entry, event: AccountMade) -> list[Effect]:
    """The name is its owner's. A guest who has it just now, or one like it, is called otherwise from here on."""
    accounts = state.accounts
    folded, look = names.fold(event.name), names.skeleton(event.name)
    if event.user_id in accounts.by_id or accounts.taken(folded, look, event.user_id):
        return [effects.Rejected(Code.ACCOUNT_EXISTS, "this name belongs to an account")]
    accounts.add(StoredAccount(event.user_id, event.name, entry.time))
    found: list[Effect] = [effects.AccountChanged(event.user_id)]
    for holder_id in dict.fromkeys((state.nicks.get(folded), state.skeletons.get(look))):
        holder = None if holder_id is None else state.users[holder_id]
        if holder is not None and holder.id != event.user_id and state.nick_taken(holder.nick, holder.id):
            old, user_id = holder.nick, holder.id
            state.call(holder, names.suggest(old, lambda nick, me=user_id: not state.nick_taken(nick, me)))  # type: ignore[misc]
            found.append(effects.Renamed(state.rooms_of(holder), old, holder.nick))
    owner = state.users.get(event.user_id)
    if owner is not None:
        owner.account = event.name
    return found


def account_brought(state: State, entry: Entry, event: AccountBrought) -> list[Effect]:
    """It was somebody's elsewhere; who is here is not asked."""
    folded, look = names.fold(event.name), names.skeleton(event.name)
    if event.user_id not in state.accounts.by_id and not state.accounts.taken(folded, look, event.user_id):
        state.load_account(
            StoredAccount(event.user_id, event.name, event.made, event.generation, event.disabled, event.ignored)
        )
    return NOTHING


def password_changed(state: State, entry: Entry, event: PasswordChanged) -> list[Effect]:
    account = state.accounts.by_id.get(event.user_id)
    if account is None:
        return NOTHING
    account.generation += 1
    return [effects.AccountChanged(account.id), *_end(state, account.id, "the password was changed", event.session_id)]


def password_rehashed(state: State, entry: Entry, event: PasswordRehashed) -> list[Effect]:
    return NOTHING


def account_disabled(state: State, entry: Entry, event: AccountDisabled) -> list[Effect]:
    account = state.accounts.by_id.get(event.user_id)
    if account is None:
        return NOTHING
    account.disabled = event.disabled
    ended = _end(state, account.id, "the account was disabled") if event.disabled else []
    return [effects.AccountChanged(account.id), *ended]


def _end(state: State, user_id: str, reason: str, kept: str = "") -> list[Effect]:
    user = state.users.get(user_id)
    others = () if user is None else tuple(one for one in sorted(user.sessions) if one != kept)
    return [effects.Ended(others, Code.SESSION_EXPIRED, reason)] if others else []


def invite_made(state: State, entry: Entry, event: InviteMade) -> list[Effect]:
    return [effects.InviteKept(event.key)]


def became(state: State, entry: Entry, event: Became) -> list[Effect]:
    """A guest's session goes over to an account, with the rooms that it is in."""
    session = state.sessions.get(event.session_id)
    if session is None or session.user.id == event.user_id:
        return NOTHING
    if lost := unfit(state, event.user_id, event.account):
        return [lost]
    old = session.user
    user = state.users.get(event.user_id)
    if user is None:
        if state.nick_taken(event.nick, event.user_id):
            return [effects.Rejected(Code.NICK_IN_USE, "this name is in use")]
        user = state.users[event.user_id] = User(event.user_id, event.nick, event.account, old.bot)
        state.call(user, event.nick)
    left, entered = [], []
    for room_id in sorted(session.rooms):
        members = state.rooms[room_id].members
        members[old.id] -= 1
        if not members[old.id]:
            del members[old.id]
            left.append(room_id)
        if user.id not in members:
            entered.append(room_id)
        members[user.id] = members.get(user.id, 0) + 1
    old.sessions = tuple(one for one in old.sessions if one != session.id)
    user.sessions += (session.id,)
    session.user, session.device = user, event.device
    if not old.sessions:
        state.uncall(old)
        del state.users[old.id]
    return [effects.Became(session.id, tuple(left), tuple(entered), old.nick, user.nick)]
