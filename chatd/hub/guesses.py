"""How often a password may be tried: by address, and by account, in trusted networks too.

Each address has some wrong guesses a minute, whatever the accounts. Each account has as many, for all addresses
together from which its owner has not come lately: so however many addresses somebody has, they are no more. And a place
from which the owner came has a count of its own, which nobody can use up from elsewhere: so guessing does not keep the
owner out. Nor does it keep out who comes with a token, which is no guess.

A try is paid for before it is made, and given back when it was right; so many at once gain nothing. Who cannot pay
while others are being tried waits for them, as they may be given back: a class that logs in at once by one address is
no attack. Names that are nobody's are counted alike, so that it cannot be seen who is there. What is full again is
forgotten.
"""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b

from chatd.core.names import fold
from chatd.hub.guard import Rate, counted_as, too_fast

LIMIT = "guesses_per_minute"
MOST_PLACES = 10_000
PLACES_OF_ONE = 8

Turn = tuple[tuple[Rate, str], ...]
"""What a try was paid from."""


class Guesses:
    """Counts tries. `now` is in seconds of a steady clock."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        rate = (per_minute / 60, per_minute)
        self._by_address, self._by_account, self._by_place = Rate(*rate), Rate(*rate), Rate(*rate)
        self._open: Counter[str] = Counter()  # tries that are not over, by what they were paid from
        self._places: dict[str, list[str]] = {}  # account: from where its owner came, the latest last

    def change(self, per_minute: int, now: float) -> None:
        """Another number from now on; what was used stays used."""
        self.per_minute = per_minute
        for rate in (self._by_address, self._by_account, self._by_place):
            rate.change(per_minute / 60, per_minute, now)

    def begin(self, account: str, address: str, now: float) -> Turn | None:
        """Pay for a try, which `end` is to be told of; None while others have to end first. Raises `Refusal` if too
        many were wrong."""
        paid: Turn = ()
        for rate, key in self._of(account, address):
            wait = rate.wait(key, now)
            if wait:
                self._give_back(paid)
                if key in self._open:
                    return None
                raise too_fast(LIMIT, self.per_minute, "wrong passwords a minute", wait)
            paid = (*paid, (rate, key))
        self._open.update(key for _, key in paid)
        return paid

    def end(self, turn: Turn, *, is_guess: bool) -> None:
        """A try is over. If it was no wrong password, what was paid is given back."""
        for _, key in turn:
            self._open[key] -= 1
            if not self._open[key]:
                del self._open[key]
        if not is_guess:
            self._give_back(turn)

    def remember(self, account: str, address: str) -> None:
        """The owner of this account is at this address."""
        key, place = _key(account), counted_as(address)
        places = self._places.pop(key, [])
        self._places[key] = [*(one for one in places if one != place), place][-PLACES_OF_ONE:]
        if len(self._places) > MOST_PLACES:
            del self._places[next(iter(self._places))]

    def _of(self, account: str, address: str) -> Turn:
        key, place = _key(account), counted_as(address)
        if place in self._places.get(key, ()):
            return ((self._by_place, f"{key} {place}"),)
        return (self._by_address, place), (self._by_account, key)

    def _give_back(self, turn: Turn) -> None:
        for rate, key in turn:
            bucket = rate.buckets.get(key)
            if bucket is not None:
                bucket.tokens = min(rate.burst, bucket.tokens + 1)


def _key(account: str) -> str:
    """A short name for an account, however long or odd the one that was typed is."""
    return blake2b(fold(account[:256]).encode("utf-8", "replace"), digest_size=12).hexdigest()
