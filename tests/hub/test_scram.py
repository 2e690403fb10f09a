"""scram-sha-256: who knows the password comes in without telling it. The client here is made by hand, of RFC 5802."""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from hashlib import pbkdf2_hmac, sha256
from typing import Any

import pytest
from msgspec import structs
from support.house import House, Json, Peer

from chatd.core.questions import VerifierWanted
from chatd.hub import scram
from chatd.settings import AccountSettings

SECRET = "correct horse battery"
WRONG = ("AUTH_FAILED", "the account or the password is wrong")


def choose(house: House, **settings: Any) -> None:
    """Other settings of accounts."""
    chosen = AccountSettings(**{"scram_iterations": 4096, "guesses_per_minute": 3, "hash_memory_kib": 8} | settings)
    house.hub.accounts.hasher.change(chosen)
    house.hub.rules = structs.replace(house.hub.rules, scram=chosen.scram)


@pytest.fixture
def house() -> House:
    house = House()
    choose(house)
    return house


def outside(house: House, address: str = "127.0.0.1") -> Peer:
    peer = Peer(house, address)
    assert peer.ask("hello", versions=[1])["ok"]
    return peer


def told(reply: Json) -> tuple[str, str]:
    assert not reply["ok"], reply
    return reply["error"]["code"], reply["error"]["message"]


def kept(house: House, account: str) -> str:
    """What is kept of a password."""
    found: list[str] = []
    question = VerifierWanted(house.hub.state.accounts.called(account).id)
    house.hub.journal.ask(question).addCallback(found.append)
    house.settle()
    return found[0]


class Client:
    """The other side of an exchange."""

    def __init__(self, peer: Peer, account: str, password: str = SECRET, nonce: str = "rOprNGfwEbeRWgbNEkqO") -> None:
        self.peer, self.account, self.password = peer, account, password
        self.bare = f"n=whoever,r={nonce}"
        self.challenge = ""

    def ask(self, message: object, **more: Any) -> Json:
        fields = {"mechanism": "scram-sha-256", "account": self.account, "data": {"message": message}} | more
        return self.peer.ask("auth", **fields)

    def begin(self) -> Json:
        reply = self.ask(f"n,,{self.bare}")
        assert reply["ok"], reply
        assert "session" not in reply
        self.challenge = reply["data"]["message"]
        return reply

    def parts(self) -> dict[str, str]:
        return dict(part.split("=", 1) for part in self.challenge.split(","))  # type: ignore[misc]

    def final(self, flags: bytes = b"n,,") -> str:
        """The client-final-message."""
        parts = self.parts()
        salted = pbkdf2_hmac("sha256", self.password.encode(), b64decode(parts["s"]), int(parts["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = f"c={b64encode(flags).decode()},r={parts['r']}"
        self.signed = f"{self.bare},{self.challenge},{without_proof}".encode()
        self.server_key = hmac.digest(salted, b"Server Key", "sha256")
        signature = hmac.digest(sha256(key).digest(), self.signed, "sha256")
        proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        return f"{without_proof},p={b64encode(proof).decode()}"

    def log_in(self) -> Json:
        self.begin()
        return self.ask(self.final())

    def server_is_right(self, reply: Json) -> bool:
        signature = hmac.digest(self.server_key, self.signed, "sha256")
        return bool(reply["data"]["message"] == "v=" + b64encode(signature).decode())


@pytest.fixture
def alice(house: House) -> House:
    house.come("alice", mechanism="register", password=SECRET).leave()
    return house


def test_who_knows_the_password_comes_in_and_so_does_the_server(alice: House) -> None:
    assert "scram-sha-256" in Peer(alice).ask("hello", versions=[1])["auth"]
    client = Client(outside(alice), "Alice")
    reply = client.log_in()
    assert (reply["ok"], reply["nick"], reply["account"]) == (True, "alice", "alice")
    assert client.server_is_right(reply)
    parts = client.parts()
    assert parts["r"].startswith("rOprNGfwEbeRWgbNEkqO")
    assert len(parts["r"]) >= 20 + 32
    assert parts["i"] == "4096"
    assert outside(alice).ask("auth", mechanism="token", token=reply["token"])["account"] == "alice"
    assert client.peer.ask("join", room="#lobby")["ok"]
    assert told(client.ask("n,,n=a,r=b"))[0] == "INVALID_PARAMS"  # in already


def test_a_guest_goes_over_to_the_account(alice: House) -> None:
    guest = alice.come("visitor", "#lobby")
    assert Client(guest, "alice").log_in()["account"] == "alice"
    members = guest.ask("list", what="members", room="#lobby")["items"]
    assert [one["nick"] for one in members] == ["alice"]


def test_the_device_and_the_rooms_are_told_as_with_a_password(alice: House) -> None:
    client = Client(outside(alice), "alice")
    client.begin()
    reply = client.ask(client.final(), device="phone", nick="alice")
    assert reply["rooms"] == []
    [session] = client.peer.ask("list", what="sessions")["items"]
    assert session["device"] == "phone"


def test_a_wrong_password_and_nobody_are_told_alike_and_only_so_often(alice: House) -> None:
    """The count is that of the mechanism `password`: both ways in together."""
    place = "10.0.0.1"
    assert told(Client(outside(alice, place), "alice", "wrong one").log_in()) == WRONG
    assert told(Client(outside(alice, place), "nobody", "wrong one").log_in()) == WRONG
    assert told(outside(alice, place).ask("auth", mechanism="password", account="alice", password="wrong one")) == WRONG
    code, words = told(Client(outside(alice, place), "alice", SECRET).log_in())
    assert (code, "3 wrong passwords a minute" in words) == ("RATE_LIMITED", True)
    assert Client(outside(alice, "10.0.0.9"), "alice", SECRET).log_in()["ok"]


def test_the_challenge_does_not_tell_who_is_there(alice: House) -> None:
    def salt_of(account: str) -> tuple[str, str, int]:
        client = Client(outside(alice), account)
        client.begin()
        return client.parts()["s"], client.parts()["i"], len(client.challenge)

    there, nobody, other = salt_of("alice"), salt_of("nobody"), salt_of("nobody2")
    assert there[1:] == nobody[1:] == other[1:]
    assert salt_of("nobody") == salt_of("NOBODY") == nobody
    assert salt_of("alice") == there
    assert len({there[0], nobody[0], other[0]}) == 3


def test_no_two_challenges_are_alike_and_none_is_good_twice(alice: House) -> None:
    client = Client(outside(alice), "alice")
    client.begin()
    final = client.final()
    client.begin()
    assert told(client.ask(final)) == (
        "INVALID_PARAMS",
        "data.message is not as in RFC 5802: Server nonce doesn't match.",
    )
    code, words = told(client.ask(client.final()))
    assert (code, "begins with a client-first-message" in words) == ("INVALID_PARAMS", True)
    watched = Client(outside(alice), "alice")
    watched.begin()
    final = watched.final()
    assert watched.ask(final)["ok"]
    thief = Client(outside(alice), "alice")
    thief.begin()
    assert told(thief.ask(final))[0] == "INVALID_PARAMS"


@pytest.mark.parametrize(
    "message",
    [
        None,
        5,
        "",
        "hello",
        "n,,",
        "n,,n=alice",
        "n,,r=nonce",
        "n,,n=alice,r=",
        "n,a=bob,n=alice,r=nonce",
        "p=tls-unique,,n=alice,r=nonce",
        "n,,m=more,n=alice,r=nonce",
        "n,,n=alice,r=non\x00ce",
        "n,,n=ali=ce,r=nonce",
        "c=biws,r=nonce,p=AAAA",
        "n,,n=alice,r=" + "n" * 3000,
    ],
)
def test_what_is_no_first_message_is_refused_and_changes_nothing(alice: House, message: object) -> None:
    client = Client(outside(alice), "alice")
    assert told(client.ask(message))[0] == "INVALID_PARAMS"
    assert client.log_in()["ok"]


@pytest.mark.parametrize("change", ["p=", "p=AAAA", "p=%%%%", "r=another,", "", "c=eSws,"])
def test_what_is_no_final_message_is_refused(alice: House, change: str) -> None:
    client = Client(outside(alice), "alice")
    client.begin()
    final = client.final()
    binding, nonce, proof = final.split(",", 2)
    message = {
        "p=": f"{binding},{nonce},p=",
        "p=AAAA": f"{binding},{nonce},p=AAAA",
        "p=%%%%": f"{binding},{nonce},p=%%%%",
        "r=another,": f"{binding},r=another,{proof}",
        "c=eSws,": f"c=eSws,{nonce},{proof}",
        "": "c=",
    }[change]
    assert told(client.ask(message))[0] in ("INVALID_PARAMS", "AUTH_FAILED")
    assert client.log_in()["ok"]


def test_the_second_message_is_for_the_account_of_the_first(alice: House) -> None:
    alice.come("bob", mechanism="register", password=SECRET).leave()
    client = Client(outside(alice), "alice")
    client.begin()
    final = client.final()
    client.account = "bob"
    assert told(client.ask(final))[0] == "INVALID_PARAMS"
    assert told(client.ask(None, account=None))[0] == "INVALID_PARAMS"


def test_a_password_that_was_changed_meanwhile_is_not_good(alice: House) -> None:
    owner = alice.come("", mechanism="password", nick=None, account="alice", password=SECRET)
    client = Client(outside(alice, "10.0.0.1"), "alice")
    client.begin()
    assert owner.ask("auth", mechanism="password", account="alice", password=SECRET, data={"new": "another one"})["ok"]
    assert told(client.ask(client.final())) == WRONG
    assert Client(outside(alice, "10.0.0.2"), "alice", "another one").log_in()["ok"]


def test_what_is_kept_is_what_postgresql_keeps_and_no_password(alice: House) -> None:
    made, keys = kept(alice, "alice").split(" ")
    assert made.startswith("$argon2id$")
    salt, stored, server, iterations = scram.keys(keys)  # type: ignore[misc]
    salted = pbkdf2_hmac("sha256", SECRET.encode(), salt, iterations)
    assert iterations == 4096
    assert stored == sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    assert server == hmac.digest(salted, b"Server Key", "sha256")
    assert keys.startswith("SCRAM-SHA-256$4096:")


@pytest.mark.parametrize(
    ("before", "after", "good"),
    [
        ({"scram": False}, {}, True),
        ({"scram_iterations": 5000}, {}, True),
        ({}, {"scram": False}, False),
        ({}, {}, True),
    ],
)
def test_what_is_kept_follows_the_settings_at_the_next_login(
    house: House, before: dict[str, Any], after: dict[str, Any], good: bool
) -> None:
    choose(house, **before)
    house.come("alice", mechanism="register", password=SECRET).leave()
    first = kept(house, "alice")
    choose(house, **after)
    assert outside(house).ask("auth", mechanism="password", account="alice", password=SECRET)["ok"]
    house.settle()
    assert (kept(house, "alice") != first) == (before != after)
    assert ("$4096:" in kept(house, "alice")) == good
    client = Client(outside(house), "alice")
    if good:
        assert client.log_in()["ok"]
        return
    assert "scram-sha-256" not in Peer(house).ask("hello", versions=[1])["auth"]
    code, words = told(client.ask("n,,n=a,r=b"))
    assert (code, "does not use the mechanism scram-sha-256" in words) == ("AUTH_FAILED", True)


def test_a_password_that_cannot_be_prepared_is_good_all_the_same(house: House) -> None:
    """SASLprep knows no character newer than Unicode 3.2."""
    modern = "\N{MELTING FACE}\N{SALUTING FACE}\N{TROLL}\N{BEANS} and more"
    house.come("alice", mechanism="register", password=modern).leave()
    first = kept(house, "alice")
    assert " " not in first
    assert outside(house).ask("auth", mechanism="password", account="alice", password=modern)["ok"]
    house.settle()
    assert kept(house, "alice") == first  # and is not made anew each time
    assert told(Client(outside(house), "alice", modern).log_in()) == WRONG


def test_a_disabled_account_is_not_let_in(alice: House) -> None:
    from chatd.core.events import AccountDisabled

    client = Client(outside(alice), "alice")
    client.begin()
    alice.hub.propose([AccountDisabled(alice.hub.state.accounts.called("alice").id, True)], None)
    alice.settle()
    assert told(client.ask(client.final())) == WRONG
    assert told(Client(outside(alice), "alice").log_in()) == WRONG
