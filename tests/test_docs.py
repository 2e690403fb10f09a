"""The documents say what the program does: whatever is missing in them, or is no longer true, fails here.

Tables are compared with the types, tables and help texts that they describe; links lead somewhere; what is shown
as a program is run. Which lines a test wants is in its message, so that they can be put in.
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import types
import typing
from functools import cache
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Meta, Struct
from support.pages import NAMES, TREE, anchors, coded, headings, outside_fences, page, section, table, tables

from chatd import cli, client
from chatd.cli import COMMANDS
from chatd.client import News, aio, blocking, tx
from chatd.client.face import Face, Wishes
from chatd.client.slash import SLASHES
from chatd.config import ENVIRONMENT_PREFIX, toml_value
from chatd.core import commands, replies, views
from chatd.core.codes import Code
from chatd.core.entrance import CAPABILITIES, MECHANISMS
from chatd.core.limits import Limits
from chatd.errors import Exit
from chatd.hub.counts import Counts
from chatd.journal.commits import Commits
from chatd.protocols.line_commands import ALIASES, VERBS, written
from chatd.settings import Setting, declared, sections

REPLY_TO = {
    "hello": replies.Welcome,
    "auth": replies.LoggedIn,
    "ping": replies.Pong,
    "nick": replies.NickTaken,
    "join": replies.Joined,
    "part": replies.Done,
    "send": replies.Sent,
    "relate": replies.Sent,
    "history": replies.HistoryPage,
    "resume": replies.Resumed,
    "mark_read": replies.ReadMarked,
    "list": replies.Listed,
    "set": replies.Changed,
    "moderate": replies.Changed,
    "presence": replies.Done,
    "quit": replies.Done,
}

# Rows of what people bring with them that have no test of their own yet.
LATER: dict[str, str] = {}
# Rows of which a part is still to come; the tests that name them prove the rest.
IN_PART = {
    "A9": "TLS itself",
    "A57": "the web page",
}


# -- the protocol ---------------------------------------------------------------------------------------------

PROTOCOL = page("docs/reference/protocol.md")


def shape(kind: type[Struct], under: str = "") -> dict[str, bool]:
    """The fields of a type as they go over the wire, those of the types in it too, and whether each may be missing."""
    is_asked = issubclass(kind, commands.Command) or kind.__module__ == commands.__name__
    found = {}
    for field in msgspec.structs.fields(kind):
        name = under + field.encode_name
        found[name] = not field.required if is_asked else field.default is UNSET
        for inner, mark in structs_in(field.type):
            found |= shape(inner, f"{name}{mark}.")
    return found


def structs_in(kind: Any, mark: str = "") -> list[tuple[type[Struct], str]]:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return structs_in(inside[0], mark)
    if origin in (typing.Union, types.UnionType):
        return [one for part in inside for one in structs_in(part, mark)]
    if origin is list:
        return structs_in(inside[0], "[]")
    if origin is dict:
        return structs_in(inside[1], ".*")
    is_part = isinstance(kind, type) and issubclass(kind, Struct) and not issubclass(kind, views.View)
    return [(kind, mark)] if is_part else []


def described(text: str, head: str) -> dict[str, bool]:
    """The fields that a section's table has, and whether each is marked as one that may be missing."""
    return {name.removesuffix("?"): name.endswith("?") for name in table(text, head)}


def without(fields: dict[str, bool], *names: str) -> dict[str, bool]:
    return {name: optional for name, optional in fields.items() if name not in names}


def tag_of(kind: type[Struct]) -> str:
    return str(kind.__struct_config__.tag)


@pytest.mark.parametrize("kind", commands.ALL, ids=tag_of)
def test_every_request_is_described_with_its_reply(kind: type[Struct]) -> None:
    name = tag_of(kind)
    text = section(section(PROTOCOL, "4. Requests"), f"`{name}`")
    assert described(text, "field") == without(shape(kind), "id")
    assert described(text, "field of the reply") == without(shape(REPLY_TO[name]), "re", "ok")


@pytest.mark.parametrize("kind", views.ALL, ids=tag_of)
def test_every_event_is_described(kind: type[Struct]) -> None:
    text = section(section(PROTOCOL, "5. Events"), f"`{tag_of(kind)}`")
    assert described(text, "field") == shape(kind)


def test_no_other_request_or_event_is_described() -> None:
    for chapter, kinds in (("4. Requests", commands.ALL), ("5. Events", views.ALL)):
        found = [words for _, level, words in headings(section(PROTOCOL, chapter)) if level == 3]
        assert [coded(words) for words in found if "`" in words] == [tag_of(kind) for kind in kinds]


def test_a_refusal_is_described() -> None:
    text = section(PROTOCOL, "2. Requests, replies, events")
    assert described(text, "field") == {"re": False, "ok": False} | without(shape(replies.Failure), "re", "ok", "error")


def test_every_error_code_is_described() -> None:
    in_use, later = (rows for rows in tables(section(PROTOCOL, "6. Error codes")))
    names = [coded(row[0]) for row in (*in_use[1:], *later[1:])]
    assert sorted(names) == sorted(code.value for code in Code)
    source = "".join(path.read_text() for path in TREE.glob("chatd/**/*.py") if "client" not in path.parts)
    for row in later[1:]:
        assert f"Code.{coded(row[0])}" not in source, f"{row[0]} is sent now: move it to the first table"


def test_capabilities_and_mechanisms_are_described() -> None:
    assert set(table(PROTOCOL, "capability")) == CAPABILITIES
    [mechanisms] = [row for row in tables(section(PROTOCOL, "`auth`"))[0] if row[0] == "`mechanism`"]
    assert all(f"`{name}`" in mechanisms[2].partition("planned")[0] for name in MECHANISMS)


def test_every_limit_is_described_with_its_default() -> None:
    rows = table(section(PROTOCOL, "8. Names and limits"), "limit")
    assert {name: row[1] for name, row in rows.items()} == {
        name: toml_value(value) for name, value in Limits().told(trusted=False).items()
    }


# -- settings, commands, exit codes ---------------------------------------------------------------------------


def takes(setting: Setting) -> str:
    """What a setting takes, in words."""
    if setting.choices:
        return ", ".join(f"`{choice}`" for choice in setting.choices)
    bare, *metas = typing.get_args(setting.type)
    words = {
        bool: "true or false",
        int: "integer",
        float: "number",
        str: "text",
        int | str: "integer or text",
        tuple[str, ...]: "list of texts",
        dict[str, str]: "table of texts",
    }[bare]
    for meta in (meta for meta in metas if isinstance(meta, Meta)):
        words += f" from {meta.ge:,}" if meta.ge is not None else f" above {meta.gt:,}" if meta.gt is not None else ""
        words += f" to {meta.le:,}" if meta.le is not None else ""
    return words


@pytest.mark.parametrize("name", sections())
def test_every_setting_is_described_with_its_default(name: str) -> None:
    text = section(page("docs/reference/settings.md"), name)
    settings = [setting for setting in declared().values() if setting.section == name]
    wanted = [
        [f"`{one.key}`", takes(one), f"`{toml_value(one.default)}`", f"`{variable(one.name)}`"] for one in settings
    ]
    assert tables(text)[0][1:] == wanted
    told = " ".join(text.split())
    for one in settings:
        assert f"- `{one.key}`: {one.description}" in told


def variable(setting: str) -> str:
    return ENVIRONMENT_PREFIX + setting.replace(".", "__").upper()


def test_every_variable_of_the_environment_is_described() -> None:
    source = "".join(path.read_text() for path in TREE.glob("chatd/**/*.py"))
    documents = "".join(map(page, NAMES))
    for name in set(re.findall(r"\bCHATD_[A-Z]+\b", source)):
        assert f"${name}" in documents


COMMAND_PAGE = page("docs/reference/commands.md")
OPTION = r"(?<![\w-])(--[a-z][a-z-]+|-[a-zA-Z])(?![\w-])"


@cache
def options_of(command: str) -> frozenset[str]:
    """The options that `chatd COMMAND --help` tells."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        cli.main([command, "--help"])
    return frozenset(re.findall(OPTION, told.getvalue()))


def test_every_command_is_described() -> None:
    found = [words for _, level, words in headings(COMMAND_PAGE) if level == 3]
    assert sorted(coded(words) for words in found) == sorted(f"chatd {name}" for name in COMMANDS)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "version"])
def test_every_option_is_described(name: str) -> None:
    text = section(COMMAND_PAGE, f"`chatd {name}`")
    if COMMANDS[name][0] == "chatd.client.commands":
        text += section(COMMAND_PAGE, "A client").partition("\n### ")[0]
    in_tables = {word for rows in tables(text) for row in rows for word in re.findall(OPTION, row[0])}
    known = options_of(name) - {"--help", "-h"} if name in ("config", "protocol") else options_of(name)
    assert known <= set(re.findall(OPTION, text))
    assert in_tables <= options_of(name)


def test_every_command_of_a_line_is_described() -> None:
    text = section(COMMAND_PAGE, "On the line port")
    wanted = {written(name, verb): verb.about for name, verb in VERBS.items()}
    assert {name: row[1] for name, row in table(text, "command").items()} == wanted
    assert set(re.findall(r"`/([^`]+)`", text.partition("| command")[0])) >= set(ALIASES)
    listed = section(PROTOCOL, "7. The line port").partition("**Commands.**")[2].partition("What they do")[0]
    assert re.findall(r"`/(\w+)`", listed) == list(VERBS)


def test_every_command_of_the_terminal_is_described() -> None:
    rows = table(section(COMMAND_PAGE, "In `chatd connect`"), "command")
    assert {name: row[1] for name, row in rows.items()} == {one.usage: one.about for one in SLASHES.values()}


def test_everything_in_the_library_is_described() -> None:
    text = page("docs/reference/library.md")
    for head, wanted in (
        ("keyword", set(Wishes.__annotations__)),
        ("property", {name for name, what in vars(Face).items() if isinstance(what, property)}),
        ("news", {one for one in client.__all__ if issubclass_of(one, News)}),
        ("error", {one for one in client.__all__ if issubclass_of(one, client.ChatError)}),
    ):
        found = {name for rows in tables(text) if rows[0][0] == head for row in rows[1:] for name in words(row[0])}
        assert found == wanted - {"News", "ChatError"}
    told = {name.partition("(")[0] for name in words(text)}
    faces = (aio.Chat, blocking.Chat, tx.Chat)
    assert {name for face in faces for name in vars(face) if not name.startswith("_")} - set(told) <= {"events"}
    assert all(name in told | {"events"} or name.startswith("_") for name in vars(Face))


def words(text: str) -> set[str]:
    """Everything that stands between backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def issubclass_of(name: str, kind: type) -> bool:
    found = getattr(client, name)
    return isinstance(found, type) and issubclass(found, kind)


def test_the_way_of_a_message_is_the_real_one() -> None:
    picture = section(page("docs/explanation/architecture.md"), "The way of a message")
    source = "".join(path.read_text() for path in TREE.glob("chatd/**/*.py"))
    steps = re.findall(r"^   [│▼] ((?:[A-Z]\w+\.)?)(\w+)\b", picture, re.MULTILINE)
    assert len(steps) >= 10
    for owner, name in steps:
        assert f"def {name}(" in source, f"{owner}{name}"
        assert re.search(rf"class {owner.removesuffix('.')}\b", source), f"{owner}{name}"


def test_every_exit_code_is_described() -> None:
    [rows] = tables(page("docs/reference/exit-codes.md"))
    assert [(row[0], coded(row[1])) for row in rows[1:]] == [(str(code.value), code.name) for code in Exit]


def test_everything_that_is_counted_is_described() -> None:
    commits = Commits()
    commits.count(1, 0.01)
    told = [one.partition("=")[0] for one in commits.told().split()]
    _, readers, batches = tables(page("docs/reference/metrics.md"))
    assert [coded(row[0]) for row in readers[1:]] == list(Counts.__struct_fields__)
    assert [coded(row[0]) for row in batches[1:]] == told


# -- pages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    path = TREE / name
    for target in re.findall(r"\]\(([^)\s]+)\)", "\n".join(outside_fences(page(name)))):
        if re.match(r"[a-z]+://", target):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), f"{name}: there is no {target}"
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), f"{name}: there is no {target}"


def test_every_page_is_linked_from_the_index() -> None:
    index = page("docs/index.md")
    for path in TREE.glob("docs/**/*.md"):
        assert path.name == "index.md" or f"({path.relative_to(TREE / 'docs')}" in index, path.name


@cache
def tests_by_name() -> dict[str, str]:
    """`tests/test_x.py::test_y` and the docstring, of every test there is; and of every file."""
    found = {}
    for path in TREE.glob("tests/**/*.py"):
        name = str(path.relative_to(TREE))
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found[name] = ast.get_docstring(tree) or ""
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found[f"{name}::{node.name}"] = ast.get_docstring(node) or ""
    return found


def test_every_promise_names_the_tests_that_prove_it() -> None:
    text = page("docs/guarantees.md")
    promises = re.findall(r"^(\d)\. ", section(PROTOCOL, "3. The promise"), re.MULTILINE)
    found = [words for _, level, words in headings(text) if level == 2]
    assert [words[0] for words in found if words[0].isdigit()] == promises
    for words in (words for words in found if words[0].isdigit()):
        assert re.search(r"`tests/[^`]+::test_\w+`", section(text, words)), f"nothing proves {words}"
    for name in re.findall(r"`(tests/[^`]+)`", text):
        assert name in tests_by_name(), f"there is no {name}"


def test_every_row_of_what_people_bring_has_a_test() -> None:
    named = {row for told in tests_by_name().values() for row in re.findall(r"\bA\d+\b", told)}
    assert {f"A{n}" for n in range(1, 61)} - named == set(LATER)
    assert set(IN_PART) <= named


# -- what the pages must say ----------------------------------------------------------------------------------


def test_the_readme_says_what_is_protected() -> None:
    """A9: what is and what is not protected is said plainly: encoding is not security. (TLS itself is to come.)"""
    told = section(page("README.md"), "What is protected, and what is not")
    for word in ("encod", "not security", "loopback", "TLS"):
        assert word in told.lower() or word in told


def test_what_there_will_not_be_is_said() -> None:
    """A10: chatd speaks TCP and what stands on it; UDP is a documented non-goal."""
    assert "no UDP" in section(PROTOCOL, "1. Ways in")
    assert "TCP" in section(page("docs/tutorial.md"), "Why not UDP?")


def test_learners_find_the_pictures_they_know() -> None:
    """A26: the life of a socket and the frame are drawn, with every call and every byte."""
    tutorial = page("docs/tutorial.md")
    lifecycle = section(tutorial, "The life of a socket")
    assert all(call in lifecycle for call in ("bind()", "listen()", "accept()", "connect()", "recv()", "close()"))
    assert "big-endian" in section(tutorial, "2. Where a message ends")
    assert "+--------+" in section(PROTOCOL, "Frames")


def test_those_with_a_ten_byte_header_find_the_way() -> None:
    """A27: a page says what such a client sees and what to change."""
    told = section(page("docs/tutorial.md"), "Migrating from the tutorial")
    assert "HEADER_LENGTH" in told
    assert "struct.pack" in told


def test_a_teacher_finds_the_settings_of_a_classroom() -> None:
    """A28: a preset for thirty people behind one address."""
    assert "```toml" in page("docs/how-to/classroom.md")
