"""Whatever stands in a settings file or the environment: settings, or one line that says what is wrong.

With `--soak` each of these tries a million inputs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from support.fuzz import damaged, explore, nasty, plain, words

from chatd.config import load
from chatd.errors import OperatorError
from chatd.settings import declared

Extent = Callable[[int, int], int]

pytestmark = pytest.mark.timeout(600)

FEW, MANY = 300, 1_000_000
NAMES = sorted(declared())
EXAMPLE = (Path(__file__).parent.parent / "conf" / "chatd.toml").read_bytes()

quoted = plain.map(lambda value: value if value is None else json.dumps(value)) | st.sampled_from(
    ["[]", '["10.0.0.0/8"]', '["no"]', "{}", "nan", "2026-01-01", "0x10", "1e400", '"30d"', "'", '"""', "[[", "true"]
)


def line(name: str, value: str | None) -> str:
    section, _, key = name.partition(".")
    return f"[{section}]\n{key} = {value}\n"


lines = st.builds(line, st.sampled_from(NAMES) | words, quoted)
files = st.one_of(
    lines.map(lambda text: text.encode("utf-8", "surrogatepass")),
    damaged(st.lists(lines, max_size=3).map(lambda found: "".join(found).encode("utf-8", "surrogatepass"))),
    damaged(st.integers(0, len(EXAMPLE) - 200).map(lambda at: EXAMPLE[at : at + 200].replace(b"\n#", b"\n"))),
    st.just(b"a = " + b"[" * 3000),
    st.just(b"a" + b".a" * 3000 + b" = 1"),
)


def one_line(error: OperatorError) -> None:
    assert "\n" not in str(error)
    assert len(str(error)) < 2000


def test_settings_files(extent: Extent, tmp_path: Path) -> None:
    path = tmp_path / "chatd.toml"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        try:
            load(file=str(path), environ={"HOME": "/nowhere"})
        except OperatorError as error:
            one_line(error)

    explore(check, extent(FEW, MANY), content=files)


def test_environments(extent: Extent) -> None:
    keys = st.sampled_from(NAMES).map(lambda name: "CHATD__" + name.replace(".", "__").upper()) | words.map(
        "CHATD__{}".format
    )
    texts = plain.map(str) | nasty | st.sampled_from(["[", "[]", "a,b", "10.0.0.0/8", "true", "30d", "fsync"])

    def check(environ: dict[str, Any]) -> None:
        try:
            load(environ={"HOME": "/nowhere", **environ})
        except OperatorError as error:
            one_line(error)

    explore(check, extent(FEW, MANY), environ=st.dictionaries(keys, texts, max_size=3))
