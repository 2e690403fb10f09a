"""`chatd doctor`: prints what the doctor finds. It takes the options of a server, and means the server with these."""

from __future__ import annotations

from chatd.errors import Exit


def run(_name: str, words: list[str]) -> int:
    """One line for each finding; the status tells whether something is to be mended. Raises `OperatorError`."""
    from chatd.doctor import Grade, look
    from chatd.tap import ServeOptions

    options = ServeOptions()
    options.synopsis = "Usage: chatd doctor [serve's options]"
    options.parseOptions(words)
    worst = Exit.OK
    for finding in look(options.loaded):
        print(finding, flush=True)
        if finding.grade is Grade.BAD:
            worst = Exit.UNAVAILABLE
    return worst
