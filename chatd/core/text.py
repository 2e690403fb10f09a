"""Text: making what others wrote safe to show on a terminal.

`clean_line` is for whatever stands in one line of a terminal: a message, a nick, a topic, a reason.
`clean_body` is for a body that may have several lines; whoever shows it puts a prefix before each further
line, so that no line can pretend to be another message. `clean_input` is for a line that a person typed,
after the telnet options are out of it. What is stored and sent to programs is left as it was said; the
bidirectional marks that Arabic and Hebrew texts may have are therefore kept in what comes in, and taken out
only where text goes to a terminal.

Taken out everywhere: control characters of C0 and C1, and the sequences of ECMA-48 and xterm that begin with
one, in their 7-bit and 8-bit forms, whole with their parameters. A string sequence (OSC, DCS, SOS, PM, APC)
goes with its content if it ends before the next control character; one that does not end loses only its
beginning, and its content stays to be read: a sender can hide no one's words but his own, and nothing after
them. Emoji keep their joiners and variation selectors. Lone surrogates, which no wire can carry, become
U+FFFD. Cleaning never fails, and cleaning twice changes nothing.
"""

from __future__ import annotations

import re

# What str.splitlines takes for the end of a line, so that nobody's idea of a line differs from ours.
_BREAK = r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]"
_SEQUENCE = r"""
      \x1b\[\[[A-E]                                     # a function key of the Linux console
    | (?:\x1b\[|\x9b) [0-?]*+ [\ -/]*+ [@-~]?           # CSI
    | (?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f]) (?:[^\x00-\x1f\x7f-\x9f]*+ (?:\x07|\x1b\\|\x9c))?   # OSC and kin
    | (?:\x1b[NO]|[\x8e\x8f]) [!-~]?                    # SS2, SS3: one character follows
    | \x1b [\ -/]*+ [0-~]?                              # every other escape sequence, and ESC alone
    | [\x00-\x08\x0e-\x1f\x7f-\x9f]                     # every other control character
"""
_BIDI = r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
_SURROGATE = r"[\ud800-\udfff]"

_TYPED = re.compile(rf"(?P<space>\t|{_BREAK}) | (?P<broken>{_SURROGATE}) | {_SEQUENCE}", re.VERBOSE)
_SHOWN = re.compile(rf"{_TYPED.pattern} | {_BIDI}", re.VERBOSE)
_SHOWN_LINES = re.compile(
    rf"(?P<newline>{_BREAK}) | (?P<space>\t) | (?P<broken>{_SURROGATE}) | {_SEQUENCE} | {_BIDI}", re.VERBOSE
)
_SUSPICIOUS_BODY = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_INSTEAD = {"space": " ", "newline": "\n", "broken": "\ufffd", None: ""}


def _instead(found: re.Match[str]) -> str:
    return _INSTEAD[found.lastgroup]


def clean_line(text: str) -> str:
    """The text on one line of a terminal: a line break or tab becomes a space, what could do harm goes."""
    # Whatever is to be taken out is not printable in Python's sense, so most texts end here.
    return text if text.isprintable() else _SHOWN.sub(_instead, text)


def clean_body(text: str) -> str:
    """The text on several lines of a terminal: as `clean_line`, but each line break becomes one `\\n`."""
    if text.isprintable() or _SUSPICIOUS_BODY.search(text) is None:
        return text
    return _SHOWN_LINES.sub(_instead, text)


def clean_input(line: str) -> str:
    """The line as it was meant: without what arrow keys and control keys send. A tab becomes a space."""
    return line if line.isprintable() else _TYPED.sub(_instead, line)


def count_lines(body: str) -> int:
    """How many lines a body takes to show; a break at the very end begins no further one, and none is one."""
    return len(body.splitlines()) or 1
