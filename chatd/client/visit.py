"""A visit to a server by one of the commands: as the guest of before, telling on standard error how it fares."""

from __future__ import annotations

from chatd.client import happenings
from chatd.client.aio import Chat, connect
from chatd.client.options import Choices
from chatd.client.outcome import remedy_for, say
from chatd.client.profiles import Tokens


class Visit:
    """One command's visit. Set `silent` when the news are shown elsewhere."""

    def __init__(self, choices: Choices, nick: str | None = None) -> None:
        self.silent = False
        self.choices = choices
        self.nick = nick or choices.nick
        self._away = False

    def connect(self) -> connect:
        """A connection as the choices want it."""
        choices = self.choices
        return connect(
            choices.server,
            tls=choices.tls or False,
            nick=self.nick,
            strict=choices.named,
            token=None if choices.makes_account else Tokens().get(choices.server, self.nick),
            account=choices.account,
            password=choices.password,
            register=choices.register,
            invite=choices.invite,
            reconnect=choices.retry,
            wait=choices.wait,
            away=choices.wait,
            own=True,
            client="chatd",
            on_news=self._tell,
        )

    def keep_token(self, chat: Chat) -> None:
        """Be the same guest the next time, under the name we have now."""
        Tokens().put(self.choices.server, chat.nick, chat.token, instead_of=self.nick)

    def _tell(self, news: happenings.News) -> None:
        if self.silent:
            return
        match news:
            case happenings.Offline(first=True):
                self._away = True
                remedy = remedy_for(news.reason, self.choices.server)
                say(f"{news.reason}; trying again until it answers" + (f" ({remedy})" if remedy else ""))
            case happenings.Online() if self._away:
                self._away = False
                say(f"connected to {self.choices.server}")
            case happenings.KnownAs():
                say(f"you are called {news.nick} here" + (f" ({news.why})" if news.why else ""))
            case happenings.Delayed() if news.retry_in >= 1:
                say(f"{news.message}; trying again in {news.retry_in:.0f} s")
            case happenings.RoomLost():
                say(f"{news.room}: {news.message}")
