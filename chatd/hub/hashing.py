"""Hashing of passwords: argon2id (RFC 9106), beside the loop, a few at a time.

What is kept of a password is what argon2 makes of it and, behind a space, what `scram` does, if it is used.

A hash takes much memory and some hundredths of a second, on purpose. It is made on threads of its own, which are few,
so that logins at once wait for each other and not the loop for them; argon2 itself gives up the interpreter's lock.
More than `MOST_WAITING` are refused. Where there are no threads, on a test's clock, it is done at once.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from chatd.core.codes import Code, Refusal
from chatd.hub import scram
from chatd.settings import AccountSettings

MOST_WAITING = 200


class Hasher:
    """Makes and checks what is kept of passwords, by the settings that hold now."""

    def __init__(self, settings: AccountSettings, reactor: Any) -> None:
        self._reactor = reactor
        self._pool: ThreadPool | None = None
        self._waiting = 0
        self.change(settings)

    def change(self, settings: AccountSettings) -> None:
        """Other settings from now on: what was made by earlier ones is checked as it was made."""
        self._settings = settings
        self._made: Any = None  # importing argon2 takes a while
        self._nobody = ""
        if self._pool is not None:
            self._pool.adjustPoolsize(0, settings.hash_threads)

    @property
    def scram_iterations(self) -> int:
        """How many times the second hash is made."""
        return self._settings.scram_iterations

    def stop(self) -> None:
        """End the threads; nothing is hashed any more."""
        pool, self._pool = self._pool, None
        self._waiting = MOST_WAITING
        if pool is not None:
            pool.stop()

    def hashed(self, password: str) -> Deferred[str]:
        """What is to be kept of a password."""
        return self._later(lambda hasher: self._hash(hasher, password))

    def is_right(self, kept: str | None, password: str) -> Deferred[tuple[bool, bool]]:
        """Whether a password is the one of which this is kept, and whether it should be hashed anew.

        Nothing that is kept is compared with a hash of nobody's, so that it takes as long.
        """
        return self._later(lambda hasher: self._compare(hasher, kept, password))

    def _hash(self, hasher: Any, password: str) -> str:
        made = hasher.hash(password.encode("utf-8", "surrogatepass"))
        keys = scram.make(password, self._settings.scram_iterations) if self._settings.scram else ""
        return f"{made} {keys}".rstrip()

    def _compare(self, hasher: Any, kept: str | None, password: str) -> tuple[bool, bool]:
        from argon2.exceptions import InvalidHashError, VerificationError

        if not self._nobody:
            self._nobody = hasher.hash(secrets.token_bytes(16))
        made, _, keys = (kept or self._nobody).partition(" ")
        try:
            hasher.verify(made, password.encode("utf-8", "surrogatepass"))
        except (VerificationError, InvalidHashError):
            return False, False
        iterations = self._settings.scram_iterations if self._settings.scram else 0
        return bool(kept), hasher.check_needs_rehash(made) or not scram.is_made_so(keys, password, iterations)

    def _hasher(self) -> Any:
        if self._made is None:
            from argon2 import PasswordHasher

            settings = self._settings
            self._made = PasswordHasher(
                time_cost=settings.hash_passes, memory_cost=settings.hash_memory_kib, parallelism=1
            )
        return self._made

    def check_free(self, others: int = 0) -> None:
        """Refuse when too many wait already, here and before."""
        if self._waiting + others >= MOST_WAITING:
            raise Refusal(Code.RATE_LIMITED, "too many are logging in just now; try again in 2 s", retry_after=2.0)

    def _later(self, work: Callable[[Any], Any]) -> Deferred[Any]:
        if not hasattr(self._reactor, "callFromThread"):
            return succeed(work(self._hasher()))
        self._waiting += 1
        done: Deferred[Any] = Deferred()
        self._threads().callInThreadWithCallback(
            lambda is_well, result: self._reactor.callFromThread(self._is_done, done, result),
            lambda: work(self._hasher()),
        )
        return done

    def _is_done(self, done: Deferred[Any], result: Any) -> None:
        self._waiting -= 1
        if isinstance(result, Failure):
            done.errback(result)
        else:
            done.callback(result)

    def _threads(self) -> ThreadPool:
        if self._pool is None:
            self._pool = ThreadPool(0, self._settings.hash_threads, "passwords")
            self._pool.start()
        return self._pool
