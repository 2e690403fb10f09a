"""`python -m chatd.client localhost:1234` is `chatd connect localhost:1234`."""

from __future__ import annotations

import sys

from chatd.client.commands import run

if __name__ == "__main__":
    sys.exit(run("connect", sys.argv[1:]))
