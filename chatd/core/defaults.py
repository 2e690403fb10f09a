"""The ports that server and client agree on when nobody says otherwise. One place, so that they cannot differ."""

from __future__ import annotations

DEFAULT_PORT = 1234
DEFAULT_LINE_PORT = 2323
