"""Logging in without telling the password: the session with the real rules, and with servers that are not who they
say."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from chatd.client import happenings
from chatd.client.address import parse
from chatd.client.blocking import Chat
from chatd.client.errors import Refused, WrongProtocol
from chatd.core import replies
from chatd.settings import AccountSettings

SECRET = "correct horse battery"


@pytest.fixture
def alice(house: Any) -> Any:
    """A house in which alice has an account."""
    house.hub.accounts.hasher.change(AccountSettings(scram_iterations=4096, hash_memory_kib=8))
    house.come("alice", mechanism="register", password=SECRET).leave()
    return house


def heard_by(guest: Any) -> list[bytes]:
    """Everything that a session sends from now on."""
    sent: list[bytes] = []
    to_send = guest.session.to_send

    def listen() -> bytes:
        sent.append(to_send())
        return sent[-1]

    guest.session.to_send = listen
    return sent


def test_the_password_is_not_sent(alice: Any, guest: Any) -> None:
    me = guest(alice, "alice", account="alice", password=SECRET, secretly=True)
    sent = heard_by(me)
    me.come()
    assert me.session.online
    assert me.session.login.token
    blob = b"".join(sent)
    assert b"scram-sha-256" in blob
    assert SECRET.encode() not in blob
    me.lose().come()  # and then with the token
    assert me.session.online
    assert b'"token"' in sent[-2] + sent[-1] + b"".join(sent)


def test_a_token_that_is_good_no_more_is_followed_by_the_proof(alice: Any, guest: Any) -> None:
    me = guest(alice, "alice", account="alice", password=SECRET, token="c1.x", secretly=True)
    sent = heard_by(me)
    me.come()
    assert me.session.online
    assert SECRET.encode() not in b"".join(sent)


def test_a_wrong_password_is_told(alice: Any, guest: Any) -> None:
    me = guest(alice, "alice", account="alice", password="wrong one", secretly=True).come()
    [ended] = me.news(happenings.Ended)
    assert isinstance(ended.error, Refused)
    assert str(ended.error) == "the account or the password is wrong (AUTH_FAILED)"


def test_a_server_that_has_no_such_mechanism_is_told_the_password(alice: Any, guest: Any) -> None:
    alice.hub.rules = structs.replace(alice.hub.rules, scram=False)
    me = guest(alice, "alice", account="alice", password=SECRET, secretly=True)
    sent = heard_by(me)
    me.come()
    assert me.session.online
    assert SECRET.encode() in b"".join(sent)


def test_an_account_is_made_with_the_password(house: Any, guest: Any) -> None:
    me = guest(house, "alice", account="alice", password=SECRET, register=True, secretly=True).come()
    assert me.session.online


def test_a_password_that_cannot_be_proved_is_not_sent(alice: Any, guest: Any) -> None:
    me = guest(alice, "alice", account="alice", password="\N{MELTING FACE} and more", secretly=True)
    sent = heard_by(me)
    me.come()
    [ended] = me.news(happenings.Ended)
    assert isinstance(ended.error, Refused)
    assert "only be sent over an encrypted connection" in str(ended.error)
    assert b"password" not in b"".join(sent)


class Impostor:
    """A server that does not know the password."""

    def __init__(self, script: Any) -> None:
        self.partner = script("alice", account="alice", password=SECRET, secretly=True).connect()
        [hello] = self.partner.hears()
        self.partner.tells(structs.replace(self.partner.welcome(hello), auth=["password", "scram-sha-256"]))

    def first(self) -> Any:
        [auth] = self.partner.hears()
        assert auth.mechanism == "scram-sha-256"
        return auth

    def tells(self, reply: Any) -> None:
        self.partner.tells(reply)

    @property
    def error(self) -> Exception | None:
        [ended] = self.partner.news(happenings.Ended)
        return ended.error  # type: ignore[no-any-return]


def test_a_server_that_lets_us_in_without_knowing_the_password_is_left(script: Any) -> None:
    impostor = Impostor(script)
    auth = impostor.first()
    nonce = auth.data["message"].rpartition("r=")[2]
    impostor.tells(replies.Challenged(re=auth.id, data={"message": f"r={nonce}more,s=c2FsdHNhbHRzYWx0,i=4096"}))
    final = impostor.first()
    assert final.data["message"].startswith(f"c=biws,r={nonce}more,p=")
    proof = {"message": "v=" + "A" * 43 + "="}
    impostor.tells(replies.LoggedIn(re=final.id, session="s", nick="alice", rooms=[], account="alice", data=proof))
    assert isinstance(impostor.error, WrongProtocol)
    assert str(impostor.error) == "the server let us in, but could not prove that it knows the password"


@pytest.mark.parametrize("data", [None, {}, {"message": ""}, {"message": "v=%"}])
def test_nor_is_one_that_proves_nothing_believed(script: Any, data: Any) -> None:
    impostor = Impostor(script)
    auth = impostor.first()
    nonce = auth.data["message"].rpartition("r=")[2]
    impostor.tells(replies.Challenged(re=auth.id, data={"message": f"r={nonce}more,s=c2FsdHNhbHRzYWx0,i=4096"}))
    final = impostor.first()
    told = {} if data is None else {"data": data}
    impostor.tells(replies.LoggedIn(re=final.id, session="s", nick="alice", rooms=[], **told))
    assert isinstance(impostor.error, WrongProtocol)


@pytest.mark.parametrize(
    "message",
    ["", "hello", "r=other,s=c2FsdHNhbHRzYWx0,i=4096", "r={},s=c2FsdHNhbHRzYWx0,i=4096", "r={}x,s=c2Fs,i=4096",
     "r={}x,s=c2FsdHNhbHRzYWx0,i=1", "r={}x,s=c2FsdHNhbHRzYWx0,i=99999999", "e=other-error"],
)  # fmt: skip
def test_a_challenge_that_makes_no_sense_is_not_answered(script: Any, message: str) -> None:
    impostor = Impostor(script)
    auth = impostor.first()
    nonce = auth.data["message"].rpartition("r=")[2]
    impostor.tells(replies.Challenged(re=auth.id, data={"message": message.format(nonce)}))
    assert isinstance(impostor.error, WrongProtocol)
    assert "makes no sense" in str(impostor.error)


def test_who_is_let_in_without_being_asked_does_not_believe_it(script: Any) -> None:
    impostor = Impostor(script)
    auth = impostor.first()
    impostor.tells(replies.LoggedIn(re=auth.id, session="s", nick="alice", rooms=[]))
    assert isinstance(impostor.error, WrongProtocol)


@pytest.mark.parametrize(
    ("address", "is_local"),
    [
        ("localhost", True),
        ("127.0.0.1:1", True),
        ("127.9.9.9", True),
        ("[::1]:1234", True),
        ("unix:/tmp/chat", True),
        ("chat.example.org", False),
        ("192.168.1.2", False),
        ("localhost.example.org", False),
        ("[fe80::1%lo]:1234", False),
    ],
)
def test_the_password_is_kept_back_where_others_could_hear_it(address: str, is_local: bool) -> None:
    assert parse(address).is_local == is_local
    chat = Chat(address, None, {"account": "alice", "password": SECRET})
    assert chat.session.login.waits == (not is_local)
    assert not Chat(address, None, {"account": "alice", "password": SECRET, "tls": True}).session.login.waits
    assert Chat(address, None, {"account": "alice", "password": SECRET, "secretly": True}).session.login.waits
