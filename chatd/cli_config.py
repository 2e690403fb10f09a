"""`chatd config`: writes the reference of all settings, checks a settings file, shows what is in effect.

The reference is made from `chatd.settings`, so it cannot say anything else than what is checked.
"""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

from chatd.config import BUILT_IN, combine, find_file, mistakes, read_file, toml_value, user_file, without_password
from chatd.errors import Exit, OperatorError
from chatd.reload import could_start
from chatd.settings import declared, sections

USAGE = """\
Usage: chatd config init [--force] [PATH]   write all settings with their defaults and meaning (PATH - prints)
       chatd config check [PATH]            check a settings file
       chatd config show [serve's options]  print the settings in effect and where each comes from

Without PATH it is the file that a server would read; a new one goes to ~/.config/chatd/chatd.toml.
"""

_HEAD = """\
# The settings of chatd: every one of them, with its default.
#
# A setting counts from here once the # before it is taken away. Order: command line, environment
# (CHATD__SECTION__KEY, for example CHATD__SERVER__PORT=1234), this file, what is built in.
# `chatd config check` tells mistakes; `chatd config show` tells what is in effect, and why.
"""


def run(_name: str, words: list[str]) -> int:
    if not words or any(word in ("--help", "-h") for word in words):
        print(USAGE, end="")
        return Exit.OK if words else Exit.USAGE
    commands = {"init": init, "check": check, "show": show}
    if words[0] not in commands:
        raise OperatorError("config", f"there is no {words[0][:40]!r}", "it takes init, check or show", Exit.USAGE)
    return commands[words[0]](words[1:])


def init(words: list[str]) -> int:
    """Write the reference to a file that is not there yet."""
    is_forced = "--force" in words
    name = _one_path([word for word in words if word != "--force"])
    if name == "-":
        print(reference(), end="")
        return Exit.OK
    path = Path(name) if name else user_file(os.environ)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w" if is_forced else "x", encoding="utf-8") as opened:
            opened.write(reference())
    except FileExistsError:
        raise OperatorError(
            f"settings file {path}", "is there already", "overwrite it with --force", Exit.SETTINGS
        ) from None
    except OSError as error:
        raise OperatorError(
            f"settings file {path}", f"cannot be written ({error.strerror})", "name another PATH", Exit.DISK
        ) from error
    print(f"wrote {path}")
    return Exit.OK


def check(words: list[str]) -> int:
    """Check a file by itself, whatever the environment says."""
    path = find_file(_one_path(words), os.environ)
    if path is None:
        print("there is no settings file; everything is at its default")
        return Exit.OK
    source = read_file(path)
    found = mistakes(source)
    for mistake in found[:-1]:
        print(f"chatd: {mistake}", file=sys.stderr)
    if found:
        raise found[-1]
    loaded = combine([source], file=path)
    from twisted.internet import reactor  # only where it is wanted: help comes at once

    could_start(loaded, reactor)
    count = sum(origin != BUILT_IN for origin in loaded.origins.values())
    told = f"{count} setting{'' if count == 1 else 's'}" if count else "everything is at its default"
    print(f"{path}: fine, {told}")
    return Exit.OK


def show(words: list[str]) -> int:
    """Print the settings that a server would have that is started here with these options."""
    from chatd.tap import ServeOptions

    options = ServeOptions()
    options.synopsis = "Usage: chatd config show [options of chatd serve]"
    options.parseOptions(words)
    loaded = options.loaded
    for section, struct in sections().items():
        print(f"[{section}]")
        settings = getattr(loaded.settings, section)
        for key in struct.__struct_fields__:
            line = f"{key} = {without_password(toml_value(getattr(settings, key)))}"
            print(f"{line:<40}  # {loaded.origins[f'{section}.{key}']}")
        print()
    return Exit.OK


def reference() -> str:
    """All settings, with defaults and meaning, as a TOML file; this is conf/chatd.toml."""
    blocks = [_HEAD]
    for section, struct in sections().items():
        blocks.append(f"\n[{section}]\n# {struct.__doc__}\n")
        for setting in declared().values():
            if setting.section == section:
                meaning = textwrap.indent(textwrap.fill(setting.description, 98), "# ")
                blocks.append(f"\n{meaning}\n#{setting.key} = {toml_value(setting.default)}\n")
    return "".join(blocks)


def _one_path(words: list[str]) -> str | None:
    unknown = [word for word in words if word.startswith("-") and word != "-"] or words[1:]
    if unknown:
        raise OperatorError("config", f"{unknown[0][:40]!r} is not understood", "see --help", Exit.USAGE)
    return words[0] if words else None
