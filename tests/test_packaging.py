"""Packaging: what is built is complete, and works where nothing but itself is there.

Built and installed without a network: a fresh virtual environment borrows what chatd depends on from this one.
"""

from __future__ import annotations

import ast
import configparser
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import msgspec
import pytest

import chatd

TREE = Path(__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns(".*", "*.egg-info", "build", "dist", "__pycache__", "dropin.cache", "tests")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def run(*words: str | Path, folder: Path, **environ: str) -> str:
    """What a program prints that is run in a folder which has nothing to do with it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHATD", "PYTHON", "XDG_"))}
    ran = subprocess.run(
        [*map(str, words)],
        cwd=folder,
        env=kept | {"HOME": str(folder)} | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, f"{words}: {ran.stdout}\n{ran.stderr}"
    return ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, so that building leaves nothing in the tree itself."""
    return Path(shutil.copytree(TREE, tmp_path_factory.mktemp("copy") / "chatd", ignore=LEFT_OUT))


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    run(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", folder, tree, folder=folder)
    (built,) = folder.glob("*.whl")
    return built


def fresh_environment(folder: Path) -> Path:
    """A new virtual environment's bin folder; what it lacks it finds in the environment of the tests."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    twisted = importlib.util.find_spec("twisted")
    assert twisted is not None
    assert twisted.origin is not None
    (packages / "borrowed.pth").write_text(f"{Path(twisted.origin).parent.parent}\n")
    return folder / "bin"


def install(what: list[str | Path], bin_folder: Path, folder: Path) -> None:
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    pip = [sys.executable, "-m", "pip", "--python", bin_folder / "python", "install", "--ignore-installed"]
    run(*pip, *offline, *what, folder=folder)


def test_the_wheel_has_all_it_needs_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"chatd-{chatd.__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        path.relative_to(TREE).as_posix()
        for path in (TREE / "chatd").rglob("*")
        if path.is_file() and (path.suffix in (".py", ".txt", ".typed") or path.parent.name == "page")
    }
    own = {name for name in names if not name.startswith(f"chatd-{chatd.__version__}.dist-info/")}
    assert own == wanted | {"twisted/plugins/chatd_plugin.py"}
    assert any(name.endswith("/licenses/LICENSE") or name.endswith("/LICENSE") for name in names)


@pytest.mark.parametrize("is_editable", [False, True], ids=["wheel", "editable"])
def test_installed_it_works_from_any_folder(wheel: Path, tree: Path, tmp_path: Path, is_editable: bool) -> None:
    """A15: `twistd -n chatd` and `chatd` from an unrelated folder, installed either way."""
    bin_folder = fresh_environment(tmp_path / "venv")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    install(["--editable", tree] if is_editable else [wheel], bin_folder, elsewhere)

    python, command = bin_folder / "python", bin_folder / "chatd"
    found = run(python, "-c", "import chatd; print(chatd.__file__)", folder=elsewhere).strip()
    assert Path(found).is_relative_to(tree if is_editable else tmp_path / "venv")
    assert run(command, "version", folder=elsewhere) == f"chatd {chatd.__version__}\n"
    assert run(command, "config", "init", "-", folder=elsewhere) == (TREE / "conf/chatd.toml").read_text()
    twistd = "from twisted.scripts.twistd import run; run()"
    listed = run(python, "-c", twistd, "--help", folder=elsewhere)
    assert "A chat server that everyone can join." in listed
    asked = run(python, "-c", twistd, "-n", "chatd", "--help", folder=elsewhere)
    assert "--line-port=" in asked


def test_a_plugin_folder_that_cannot_be_written_does_not_matter(wheel: Path, tmp_path: Path) -> None:
    """The cache of plugins is written at the first start where it can be, and done without where not."""
    bin_folder = fresh_environment(tmp_path / "venv")
    install([wheel], bin_folder, tmp_path)
    (plugins,) = (tmp_path / "venv").glob("lib/python*/site-packages/twisted/plugins")
    (plugins / "dropin.cache").unlink(missing_ok=True)
    (plugins / "dropin.cache").mkdir()  # not even root can write a file there
    twistd = "from twisted.scripts.twistd import run; run()"
    listed = run(bin_folder / "python", "-c", twistd, "--help", folder=tmp_path)
    assert "A chat server that everyone can join." in listed


# -- what is declared -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def declared() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(TREE / "setup.cfg")
    return parser


def test_twisted_keeps_its_own_package() -> None:
    """An __init__.py below twisted/ would hide the framework."""
    files = [path.relative_to(TREE).as_posix() for path in (TREE / "twisted").rglob("*.py")]
    assert files == ["twisted/plugins/chatd_plugin.py"]


def imported_in(folder: str) -> set[str]:
    """The packages from outside that the files of a folder import."""
    files = list((TREE / folder).rglob("*.py"))
    own = {"chatd", "bench", "support"} | {path.stem for path in files} | {path.parent.name for path in files}
    found = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).partition(".")[0])
    return found - sys.stdlib_module_names - own


IMPORTED_AS = {"pyopenssl": "OpenSSL", "argon2-cffi": "argon2", "nats-py": "nats"}


def names_in(requirements: str) -> set[str]:
    names = (re.split("[>=]", line)[0] for line in requirements.split())
    return {IMPORTED_AS.get(name, name).replace("-", "_") for name in names}


def test_what_is_imported_is_declared(declared: configparser.ConfigParser) -> None:
    """Whoever installs chatd has all that it imports, and no more is asked for."""
    # Twisted brings zope.interface: it is part of what Twisted promises.
    extras = declared["options.extras_require"]
    extra = names_in(extras["tls"]) | names_in(extras["nats"])
    assert names_in(declared["options"]["install_requires"]) == imported_in("chatd") - {"zope"} - extra
    assert extra - {"service_identity"} <= imported_in("chatd"), "Twisted wants the other"


def test_what_the_tests_import_is_declared(declared: configparser.ConfigParser) -> None:
    """The README's second command brings all that the tests need."""
    installed = names_in(declared["options"]["install_requires"]) | {"zope"}
    assert names_in(declared["options.extras_require"]["test"]) >= imported_in("tests") - installed


def test_what_the_bench_imports_is_declared(declared: configparser.ConfigParser) -> None:
    """Whoever measures needs one extra, and only for the pictures; and who measures a stream has the client of NATS."""
    installed = names_in(declared["options"]["install_requires"]) | {"zope"}
    extras = declared["options.extras_require"]
    assert names_in(extras["bench"]) == imported_in("bench") - installed - names_in(extras["nats"])


def test_the_oldest_python_is_the_same_everywhere(declared: configparser.ConfigParser) -> None:
    settings = tomllib.loads((TREE / "pyproject.toml").read_text())
    assert declared["options"]["python_requires"] == ">=3.11"
    assert settings["tool"]["ruff"]["target-version"] == "py311"
    assert msgspec.__version__
