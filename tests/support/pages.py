"""Reading pages of Markdown: their headings, tables, links and programs. For the tests of the documents."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

TREE = Path(__file__).parent.parent.parent
PAGES = [TREE / "README.md", TREE / "CHANGELOG.md", TREE / "CONTRIBUTING.md", *sorted(TREE.glob("docs/**/*.md"))]
NAMES = [str(path.relative_to(TREE)) for path in PAGES]


@cache
def page(name: str) -> str:
    return (TREE / name).read_text(encoding="utf-8")


def outside_fences(text: str) -> list[str]:
    """The lines, with those of programs and pictures left empty."""
    lines, is_inside = [], False
    for line in text.split("\n"):
        is_fence = line.lstrip().startswith("```")
        lines.append("" if is_inside or is_fence else line)
        is_inside = is_inside != is_fence
    return lines


def headings(text: str) -> list[tuple[int, int, str]]:
    """Line, level and words of every heading."""
    found = []
    for number, line in enumerate(outside_fences(text)):
        if match := re.match(r"(#+) (.*)", line):
            found.append((number, len(match[1]), match[2].strip()))
    return found


def section(text: str, heading: str) -> str:
    """What is under a heading, up to the next one of its level."""
    found = headings(text)
    start, level = next((number, level) for number, level, words in found if words == heading)
    ends = (number for number, other, _ in found if number > start and other <= level)
    return "\n".join(text.split("\n")[start + 1 : next(ends, None)])


def tables(text: str) -> list[list[list[str]]]:
    """The tables, row by row; the second row, of dashes, is left out."""
    found: list[list[list[str]]] = [[]]
    for line in outside_fences(text):
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            found[-1].append([cell.strip().replace("\\|", "|") for cell in cells])
        elif found[-1]:
            found.append([])
    return [[rows[0], *rows[2:]] for rows in found if rows]


def coded(cell: str) -> str:
    """What a cell has between backticks."""
    [words] = re.findall(r"`([^`]+)`", cell)
    return str(words)


def table(text: str, head: str) -> dict[str, list[str]]:
    """The rows of all tables whose first column is called so, by what they have there between backticks."""
    return {coded(row[0]): row for rows in tables(text) if rows[0][0] == head for row in rows[1:]}


BLOCK = re.compile(r"(?:^ *<!-- ([^\n]*) -->\n)?^( *)```(\w*)\n(.*?)^\2```$", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A fenced block: the page it is on, the language it is in, its lines, and the comment right before it."""

    page: str
    language: str
    text: str
    comment: str

    def __str__(self) -> str:
        return f"{self.page}: {self.text.strip().splitlines()[0][:40]}"


def blocks(*languages: str) -> list[Block]:
    """The blocks in these languages, of all pages."""
    found = []
    for name in NAMES:
        for match in BLOCK.finditer(page(name)):
            comment, indent, language, text = match.groups()
            if language in languages:
                text = re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)
                found.append(Block(name, language, text, comment or ""))
    return found


def anchors(text: str) -> set[str]:
    """What a link can point to, as GitHub makes it from headings."""
    plain = (re.sub(r"[^\w\- ]", "", words.lower()) for _, _, words in headings(text))
    return {words.replace(" ", "-") for words in plain}
