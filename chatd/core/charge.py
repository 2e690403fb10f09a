"""Charge: who is in charge of a room, and what they have ordered there.

Roles, bans, mutes, who is admitted, and how the room may be entered and spoken in. Each order is a `Ruling`, which the
journal keeps: a room's charge is nothing but its rulings. The server's own charge is that of one room, in which
everything that its operators do is put down; its roles are those of the whole server.
"""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from chatd.core.addresses import is_in, network_of
from chatd.core.names import fold, skeleton

SERVER_ID = "server"
"""The id of the room in which the acts of the server's operators are put down."""

SERVER_ROOM = "#server-operators"

MACHINE = "operator"
"""The id of whoever holds the machine, and speaks by its admin socket: no user has one like it."""

RANKS = {"member": 0, "speaker": 1, "operator": 2, "owner": 3}
SERVER_RANK = 4
MACHINE_RANK = 5

SETTINGS = {
    "join": ("open", "accounts", "invite"),
    "speak": ("everyone", "accounts", "speakers", "operators"),
    "visibility": ("public", "hidden", "published"),
    "lockdown": ("off", "registration", "guests", "everyone"),
}
"""The words that a setting can have; the first is what holds where nothing was set."""

MOST_SLOW = 86_400  # seconds between two messages
MOST_SECONDS = 100 * 366 * 86_400  # of a ban: what is longer is for ever

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_DURATION = re.compile(r"([1-9][0-9]{0,8})([smhdw]?)")

Kind = Literal["role", "ban", "mute", "invite", "set"]


class Ruling(Struct, frozen=True, array_like=True):
    """One thing that was ordered in a room. There is one for each `kind` and `key`; another takes its place.

    `who` is whom it is about, as they were called; a user has a `user_id`, a name without an account a folded `nick`, a
    stretch of addresses a `network`. `value` is a role, or what a setting (`key`) is set to. `until` and `time` are
    microseconds since 1970; an `until` of 0 is for ever.
    """

    kind: Kind
    key: str
    who: str = ""
    user_id: str = ""
    nick: str = ""
    network: str = ""
    value: str = ""
    until: int = 0
    time: int = 0
    by: str = ""
    reason: str = ""

    def holds(self, now: int) -> bool:
        """Whether it is not over yet."""
        return not self.until or self.until > now

    def is_about(self, user_id: str, nick: str, address: str = "") -> bool:
        """Whether it is about somebody with this id, called so (or so that it looks alike), from this address."""
        if self.network:
            return bool(address) and is_in(address, self.network)
        if self.user_id and self.user_id == user_id:
            return True
        return bool(self.nick) and (self.nick == fold(nick) or skeleton(self.who) == skeleton(nick))


class Charge:
    """The rulings of one room, as they can be asked. Reading is free; writing is `apply`'s."""

    __slots__ = ("admitted", "bans", "mutes", "restricts", "roles", "settings", "slow")

    def __init__(self) -> None:
        self.roles: dict[str, Ruling] = {}  # by user id
        self.bans: dict[str, Ruling] = {}
        self.mutes: dict[str, Ruling] = {}
        self.admitted: dict[str, Ruling] = {}  # by user id: who may come in without a key or an invitation
        self.settings: dict[str, Ruling] = {}
        self.slow = 0  # seconds
        self.restricts = False  # not everybody may speak at any time

    def get(self, setting: str) -> str:
        """What a setting is set to; without a ruling, what holds everywhere."""
        ruling = self.settings.get(setting)
        return SETTINGS[setting][0] if ruling is None else ruling.value

    @property
    def key(self) -> str:
        """What is kept of the room's key; empty if there is none."""
        ruling = self.settings.get("key")
        return "" if ruling is None else ruling.value

    def role(self, user_id: str) -> str:
        """What somebody is here."""
        ruling = self.roles.get(user_id)
        return "member" if ruling is None else ruling.value

    def ban_of(self, user_id: str, nick: str, address: str, now: int) -> Ruling | None:
        """The ban that keeps somebody out."""
        return next(
            (ban for ban in self.bans.values() if ban.holds(now) and ban.is_about(user_id, nick, address)), None
        )

    def mute_of(self, user_id: str, nick: str, now: int) -> Ruling | None:
        """The ruling that keeps somebody from speaking."""
        return next((mute for mute in self.mutes.values() if mute.holds(now) and mute.is_about(user_id, nick)), None)

    def is_admitted(self, user_id: str, now: int) -> bool:
        """Whether somebody was let in before, or invited."""
        ruling = self.admitted.get(user_id)
        return ruling is not None and ruling.holds(now)

    # -- writing: for apply and start -----------------------------------------------------------------------------

    def shelf(self, kind: str) -> dict[str, Ruling]:
        """Where the rulings of a kind are."""
        shelves = {"role": self.roles, "ban": self.bans, "mute": self.mutes, "invite": self.admitted}
        return shelves.get(kind, self.settings)

    def keep(self, ruling: Ruling) -> None:
        """This holds from now on. Bans and mutes that are over by then are forgotten."""
        shelf = self.shelf(ruling.kind)
        if ruling.kind in ("ban", "mute"):
            for key in [key for key, one in shelf.items() if not one.holds(ruling.time)]:
                del shelf[key]
        shelf[ruling.key] = ruling
        self._look()

    def drop(self, kind: str, key: str) -> None:
        """This holds no longer."""
        self.shelf(kind).pop(key, None)
        self._look()

    def _look(self) -> None:
        slow = self.settings.get("slow")
        self.slow = 0 if slow is None else int(slow.value)
        self.restricts = bool(self.slow or self.mutes) or any(
            self.get(setting) != SETTINGS[setting][0] for setting in ("speak", "lockdown")
        )


def check(ruling: Ruling) -> None:
    """Raise `ValueError` for a ruling that could not be asked."""
    if ruling.network and network_of(ruling.network) != ruling.network:
        raise ValueError(f"{ruling.network} is no network")
    if ruling.kind == "role" and ruling.value not in RANKS:
        raise ValueError(f"there is no role {ruling.value!r}")
    if ruling.kind == "set" and ruling.key in SETTINGS and ruling.value not in SETTINGS[ruling.key]:
        raise ValueError(f"{ruling.key} cannot be {ruling.value!r}")
    if (ruling.kind, ruling.key) == ("set", "slow") and not re.fullmatch("[0-9]{1,5}", ruling.value):
        raise ValueError("slow is a number of seconds")


def duration(written: str | int | None) -> int | None:
    """Microseconds that are written as seconds, or with a unit: `90`, `10m`, `2h`, `7d`, `4w`; 0 for ever, None if
    they are written wrongly, or longer than a hundred years."""
    text = str(written or 0).strip().lower()
    if text in ("0", "forever", "ever"):
        return 0
    found = _DURATION.fullmatch(text)
    if found is None:
        return None
    seconds = int(found[1]) * _UNITS[found[2]]
    return seconds * 1_000_000 if seconds <= MOST_SECONDS else None
