"""What one is called when one does not say: `$CHATD_NICK`, else the name one has on this machine."""

from __future__ import annotations

import getpass
import os

from chatd.core import names


def default_nick() -> str:
    """A nick that is allowed, made from who is logged in here."""
    wish = os.environ.get("CHATD_NICK", "").strip()
    if not wish:
        try:
            wish = getpass.getuser()
        except (OSError, KeyError):  # nobody has that user id, as in some containers
            wish = "guest"
    return names.suggest(wish, lambda nick: True)
