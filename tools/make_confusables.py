"""Write chatd/core/letters.txt: which characters a name may have, their scripts, and what looks like what.

Reads Unicode's own files and writes the few facts that `chatd.core.letters` needs. Characters newer than
`NEWEST` are left out, so that every Python that chatd supports, and so every node, sees the same table and
normalises its characters alike. Run it again when that version rises:

    python tools/make_confusables.py --unicode /usr/share/unicode --confusables confusables.txt

`--unicode` is the Unicode Character Database (Debian: `unicode-data`); `confusables.txt` belongs to UTS #39
and is in the sources of ICU too (`source/data/unidata`). With `--check` nothing is written; the exit code
tells whether the table is what these files make.
"""

from __future__ import annotations

import argparse
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

NEWEST = (14, 0)  # Python 3.11's

# UAX #31, tables 5 (recommended) and 7 (limited use): the scripts people write today.
_LIVING = """
    Arab Armn Beng Bopo Cyrl Deva Ethi Geor Grek Gujr Guru Hang Hani Hebr Hira Kana Khmr Knda Laoo Latn Mlym
    Mymr Orya Sinh Taml Telu Thaa Thai Tibt
    Adlm Bali Bamu Batk Cakm Cans Cham Cher Hmnp Java Kali Lana Lepc Limb Lisu Mand Mtei Newa Nkoo Olck Osge
    Plrd Rohg Saur Sund Sylo Syrc Tale Talu Tavt Tfng Vaii Wcho Yiii
"""
LIVING = frozenset(_LIVING.split())
# Common and Inherited: of every script, unless ScriptExtensions says more.
SHARED = frozenset({"Zyyy", "Zinh"})
SHARED_LETTERS = frozenset("\u02bb\u02bc")  # the okina and the letter apostrophe: real letters of real names
STROKES = range(0x334, 0x339)  # lines through the letter before: for striking out, not for spelling
STRETCH = "\u0640"  # the tatweel makes a word longer and changes nothing in it

NOTICE = """\
Made by tools/make_confusables.py from files of Unicode {files}, characters up to {newest}; not to be edited by hand.

Derived from Unicode data files, and modified: only what names need is here.

COPYRIGHT AND PERMISSION NOTICE

Copyright © 1991-2022 Unicode, Inc. All rights reserved.
Distributed under the Terms of Use in https://www.unicode.org/copyright.html.

Permission is hereby granted, free of charge, to any person obtaining a copy of the Unicode data files and
any associated documentation (the "Data Files") or Unicode software and any associated documentation (the
"Software") to deal in the Data Files or Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, and/or sell copies of the Data Files or Software,
and to permit persons to whom the Data Files or Software are furnished to do so, provided that either
(a) this copyright and permission notice appear with all copies of the Data Files or Software, or
(b) this copyright and permission notice appear in associated Documentation.

THE DATA FILES AND SOFTWARE ARE PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED,
INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT OF THIRD PARTY RIGHTS. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR HOLDERS INCLUDED IN THIS
NOTICE BE LIABLE FOR ANY CLAIM, OR ANY SPECIAL INDIRECT OR CONSEQUENTIAL DAMAGES, OR ANY DAMAGES WHATSOEVER
RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS
ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THE DATA FILES OR SOFTWARE.

Except as contained in this notice, the name of a copyright holder shall not be used in advertising or
otherwise to promote the sale, use or other dealings in these Data Files or Software without prior written
authorization of the copyright holder.

[letters] has lines of KIND SCRIPTS RANGES: L a letter, M a mark of its script, A an accent that scripts
share, D a digit; the scripts a character belongs to (* all of them); hexadecimal code points.
[looks] has lines of PROTOTYPE CHARACTERS: what each of the characters looks like, by UTS #39."""


def rows(path: Path) -> Iterator[tuple[str, ...]]:
    """The rows of one of Unicode's files: fields between semicolons, no comments."""
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        fields = tuple(field.strip() for field in line.partition("#")[0].split(";"))
        if len(fields) > 1:
            yield fields


def characters(span: str) -> Iterator[str]:
    """The characters of `0041` or `0041..005A`."""
    first, _, last = span.partition("..")
    return map(chr, range(int(first, 16), int(last or first, 16) + 1))


def decoded(code_points: str) -> str:
    return "".join(chr(int(code, 16)) for code in code_points.split())


class Database:
    """The properties that decide, by character."""

    def __init__(self, folder: Path) -> None:
        short = {row[2]: row[1] for row in rows(folder / "PropertyValueAliases.txt") if row[0] == "sc"}
        self.script = {c: short[row[1]] for row in rows(folder / "Scripts.txt") for c in characters(row[0])}
        self.extensions = {
            c: frozenset(row[1].split()) for row in rows(folder / "ScriptExtensions.txt") for c in characters(row[0])
        }
        self.category = {
            c: row[1] for row in rows(folder / "extracted/DerivedGeneralCategory.txt") for c in characters(row[0])
        }
        self.ignorable = {
            c
            for row in rows(folder / "DerivedCoreProperties.txt")
            if row[1] == "Default_Ignorable_Code_Point"
            for c in characters(row[0])
        }
        self.known = {
            c
            for row in rows(folder / "DerivedAge.txt")
            if tuple(map(int, row[1].split("."))) <= NEWEST
            for c in characters(row[0])
        }

    def kind(self, c: str) -> str | None:
        """L, M, A or D, or None for what no name has."""
        category = self.category.get(c, "Cn")
        if c not in self.known or c in self.ignorable or c == STRETCH:
            return None
        if category[0] == "L":
            return "L"
        if category in ("Mn", "Mc"):
            return "A" if self.script.get(c) == "Zinh" else "M"
        return "D" if category == "Nd" else None

    def scripts(self, c: str) -> frozenset[str]:
        """The living scripts of a character; {"*"} when it may stand in every one; empty when in none."""
        script = self.script.get(c, "Zzzz")
        named = self.extensions.get(c, frozenset((script,)))
        if not named <= SHARED:
            return named & LIVING
        plain_accent = script == "Zinh" and 0x300 <= ord(c) <= 0x36F and ord(c) not in STROKES
        digit = unicodedata.normalize("NFKC", c).isascii() and ord(c) < 0x10000 and self.category[c] == "Nd"
        return frozenset("*") if plain_accent or digit or c in SHARED_LETTERS else frozenset()


def allowed(unicode: Database) -> dict[str, tuple[str, frozenset[str]]]:
    """Kind and scripts of each character that a name may have, also after NFKC."""
    first = {c: (kind, unicode.scripts(c)) for c in sorted(unicode.known) if (kind := unicode.kind(c))}
    fit: dict[str, tuple[str, frozenset[str]]] = {}
    for c, (kind, scripts) in first.items():
        for other in unicodedata.normalize("NFKC", c):
            others = first[other][1] if other in first else frozenset()
            scripts = others if scripts == {"*"} else scripts if others == {"*"} else scripts & others
        if scripts:
            fit[c] = (kind, scripts)
    return fit


def looks(confusables: Path, fit: Iterable[str]) -> dict[str, str]:
    """The prototype of each character that is left in a name after NFKC and NFD."""
    prototypes = {decoded(row[0]): decoded(row[1]) for row in rows(confusables) if row[2] == "MA"}
    return {
        c: unicodedata.normalize("NFD", prototypes[c])
        for c in fit
        if c in prototypes and unicodedata.normalize("NFD", unicodedata.normalize("NFKC", c)) == c
    }


def spans(code_points: list[int]) -> str:
    """`41-5A 61 63-65` for ascending code points."""
    found: list[list[int]] = []
    for code in code_points:
        if found and code == found[-1][1] + 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return " ".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in found)


def table(unicode: Database, confusables: Path) -> str:
    """The whole text of the table."""
    fit = allowed(unicode)
    letters: dict[tuple[str, str], list[int]] = defaultdict(list)
    for c, (kind, scripts) in fit.items():
        letters[kind, "+".join(sorted(scripts))].append(ord(c))
    alike: dict[str, list[int]] = defaultdict(list)
    for c, prototype in looks(confusables, [*fit, *map(chr, range(0x21, 0x7F))]).items():
        if ord(c) not in alike[prototype]:
            alike[prototype].append(ord(c))
    files = confusables.read_text(encoding="utf-8-sig").partition("# Version: ")[2].partition("\n")[0]
    notice = NOTICE.format(files=files, newest=".".join(map(str, NEWEST)))
    lines = [f"# {line}".rstrip() for line in notice.splitlines()]
    lines.append("[letters]")
    lines += (f"{kind} {scripts} {spans(codes)}" for (kind, scripts), codes in sorted(letters.items()))
    lines.append("[looks]")
    for prototype, codes in sorted(alike.items()):
        name = "+".join(f"{ord(c):X}" for c in prototype)
        lines.append(f"{name} " + " ".join(f"{code:X}" for code in sorted(codes)))
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the table, or with --check compare it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--unicode", type=Path, required=True, help="folder of the Unicode Character Database")
    parser.add_argument("--confusables", type=Path, required=True, help="confusables.txt of UTS #39")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the table is another")
    options = parser.parse_args()
    target = Path(__file__).resolve().parent.parent / "chatd" / "core" / "letters.txt"
    text = table(Database(options.unicode), options.confusables)
    if options.check:
        return int(target.read_text(encoding="utf-8") != text)
    target.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
