"""The house stands: imports go down and never in a circle, each floor knows what it may, and no file is too long."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent
PACKAGE = TREE / "chatd"

# The floors of the house, as docs/explanation/architecture.md has them. A folder stands for all that is in it.
FLOORS = {
    "chatd": 0,
    "chatd.core": 0,
    "chatd.errors": 1,
    "chatd.interfaces": 1,
    "chatd.journal_settings": 1,
    "chatd.limit_settings": 1,
    "chatd.settings": 1,
    "chatd.hub": 2,
    "chatd.journal": 2,
    "chatd.client": 3,
    "chatd.protocols": 3,
    "chatd.admin": 4,
    "chatd.admin_order": 4,
    "chatd.certificates": 4,
    "chatd.config": 4,
    "chatd.datafolder": 4,
    "chatd.doctor": 4,
    "chatd.exposure": 4,
    "chatd.listeners": 4,
    "chatd.ports": 4,
    "chatd.lag": 4,
    "chatd.logs": 4,
    "chatd.monitor": 4,
    "chatd.offline": 4,
    "chatd.readiness": 4,
    "chatd.reload": 4,
    "chatd.service": 4,
    "chatd.steady": 4,
    "chatd.__main__": 5,
    "chatd.cli": 5,
    "chatd.cli_admin": 5,
    "chatd.cli_invite": 5,
    "chatd.cli_bench": 5,
    "chatd.cli_cert": 5,
    "chatd.cli_doctor": 5,
    "chatd.cli_config": 5,
    "chatd.cli_export": 5,
    "chatd.cli_journal": 5,
    "chatd.cli_protocol": 5,
    "chatd.cli_serve": 5,
    "chatd.tap": 5,
}

# Neighbours on one floor that stay strangers: they meet in `interfaces`, or on the wire.
STRANGERS = [("chatd.hub", "chatd.journal"), ("chatd.client", "chatd.protocols")]

# What may be unbounded or do what it is told must not come near what a peer sends.
UNSAFE_MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "yaml", "jsonpickle"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__"}

LINES = 400


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package by its name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(TREE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(), str(path))
    return found


def floor_of(name: str) -> int:
    while name not in FLOORS:
        name = name.rpartition(".")[0]
        assert name != "chatd", "a new part: give it its floor, here and in docs/explanation/architecture.md"
    return FLOORS[name]


def imported_by(name: str) -> Iterator[str]:
    """The names of all modules that a module imports, wherever in it the import stands."""
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports by dots"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in modules() else str(node.module)


def own_imports(name: str) -> set[str]:
    return {found for found in imported_by(name) if found.partition(".")[0] == "chatd"} - {name}


def is_in(name: str, part: str) -> bool:
    return name == part or name.startswith(part + ".")


@pytest.mark.parametrize("name", modules())
def test_imports_go_down(name: str) -> None:
    for found in own_imports(name):
        assert floor_of(found) <= floor_of(name), f"{name} imports {found}, which is above it"


def test_imports_make_no_circle() -> None:
    # What is imported for its type alone is needed by nobody at run time.
    graph = {name: own_imports(name) - typing_only(name) for name in modules()}
    for name, found in graph.items():
        found -= {package for package in found if is_in(name, package)}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' -> '.join(error.args[1])}")


def typing_only(name: str) -> set[str]:
    found = set()
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            found |= {str(inner.module) for inner in ast.walk(node) if isinstance(inner, ast.ImportFrom)}
    return found


@pytest.mark.parametrize(("one", "other"), STRANGERS)
def test_strangers_do_not_know_each_other(one: str, other: str) -> None:
    for name in modules():
        for mine, theirs in ((one, other), (other, one)):
            if is_in(name, mine):
                assert not any(is_in(found, theirs) for found in own_imports(name)), f"{name} knows {theirs}"


@pytest.mark.parametrize("name", [name for name in modules() if is_in(name, "chatd.core")])
def test_core_knows_the_standard_library_and_msgspec_only(name: str) -> None:
    allowed = sys.stdlib_module_names | {"msgspec", "chatd"}
    outside = {"asyncio", "socket", "select", "sqlite3", "threading", "time", "random", "secrets", "logging"}
    for found in imported_by(name):
        assert found.partition(".")[0] in allowed - outside, f"{name} imports {found}"


@pytest.mark.parametrize("name", modules())
def test_nobody_imports_the_reactor_with_the_module(name: str) -> None:
    for node in modules()[name].body:
        assert "reactor" not in ast.unparse(node) or not isinstance(node, (ast.Import, ast.ImportFrom))


@pytest.mark.parametrize("name", modules())
def test_nothing_received_is_ever_carried_out(name: str) -> None:
    """A12: no pickle, no eval and their like anywhere in the package."""
    for found in imported_by(name):
        assert found.partition(".")[0] not in UNSAFE_MODULES, f"{name} imports {found}"
    for node in ast.walk(modules()[name]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in UNSAFE_CALLS, f"{name}, line {node.lineno}: {node.func.id}"


@pytest.mark.parametrize("name", modules())
def test_every_module_says_what_it_is_for(name: str) -> None:
    assert ast.get_docstring(modules()[name]), f"{name} does not say what it is for"


def test_no_file_is_too_long() -> None:
    files = [
        path for folder in ("chatd", "tests", "bench", "examples", "tools") for path in (TREE / folder).rglob("*.py")
    ]
    assert files
    for path in files:
        count = len(path.read_text().splitlines())
        assert count <= LINES, f"{path.relative_to(TREE)} has {count} lines: it is ready to become two"
