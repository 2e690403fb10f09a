"""Puts the settings together: command line, then environment, then file, then what is built in.

It knows where settings come from and says it for each one, and in one line what is wrong with one and how to
mend it. What settings there are, and their bounds, is `chatd.settings`; what they do is left to the parts.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import reprlib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from chatd.core.names import NameRefused, check_room, fold
from chatd.core.retention import PATTERN as RETENTION
from chatd.errors import Exit, OperatorError
from chatd.settings import Setting, Settings, declared, sections

ENVIRONMENT_PREFIX = "CHATD__"
SYSTEM_FILE = Path("/etc/chatd/chatd.toml")
FILE_BYTES = 1 << 20

BUILT_IN = "built in"

# How msgspec calls what is wanted, and what people call it.
TYPES = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "array": "a list"}


class Source(Struct, frozen=True, kw_only=True):
    """Settings from one place, not yet checked.

    `values` has full names `section.key`; `spelled` has the way each is written in that place, for messages.
    Text sources (`is_text`) hold numbers and truth values as text.
    """

    label: str
    values: dict[str, object]
    spelled: dict[str, str] = {}
    is_text: bool = False
    exit_code: Exit = Exit.SETTINGS

    def spelling(self, name: str) -> str:
        return self.spelled.get(name, name)


class Loaded(Struct, frozen=True, kw_only=True):
    """The settings in effect, and where each came from: an option, a variable, a file or `BUILT_IN`."""

    settings: Settings
    origins: dict[str, str]
    file: Path | None = None

    def is_chosen(self, name: str) -> bool:
        """Whether someone asked for this, so that it cannot be done without."""
        return self.origins[name] != BUILT_IN


def load(
    chosen: Source | None = None,
    *,
    file: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """The settings in effect: `chosen` on the command line, from `environ`, from a file, built in.

    Raises `OperatorError` for the first thing that is wrong.
    """
    environ = os.environ if environ is None else environ
    return load_from(find_file(file, environ), chosen, environ)


def load_from(path: Path | None, chosen: Source | None, environ: Mapping[str, str]) -> Loaded:
    """The same with this settings file, or with none."""
    sources = [chosen] if chosen else []
    sources.append(read_environment(environ))
    if path is not None:
        sources.append(read_file(path))
    return combine(sources, file=path)


def combine(sources: list[Source], *, file: Path | None = None) -> Loaded:
    """Check what all the sources say and put it together; earlier ones win."""
    known = declared()
    values: dict[str, dict[str, object]] = {section: {} for section in sections()}
    origins = dict.fromkeys(known, BUILT_IN)
    for source in reversed(sources):
        for name, value in source.values.items():
            setting, taken = _taken(source, name, value, known)
            values[setting.section][setting.key] = taken
            origins[name] = source.spelled.get(name, source.label)
    settings = msgspec.convert(values, Settings)
    _check_together(settings)
    return Loaded(settings=settings, origins=origins, file=file)


def mistakes(source: Source) -> list[OperatorError]:
    """What is wrong in it, setting by setting; `combine` stops at the first."""
    found = []
    known = declared()
    for name, value in source.values.items():
        try:
            _taken(source, name, value, known)
        except OperatorError as error:
            found.append(error)
    return found


def _taken(source: Source, name: str, value: object, known: Mapping[str, Setting]) -> tuple[Setting, object]:
    if name not in known:
        raise _unknown(source, name, known)
    return known[name], _checked(source, known[name], value)


def find_file(given: str | None, environ: Mapping[str, str]) -> Path | None:
    """The settings file to read: the given one, $CHATD_CONFIG, the user's, the system's, or none."""
    for path, why in ((given, "--config"), (environ.get("CHATD_CONFIG"), "$CHATD_CONFIG")):
        if path:
            if not os.path.isfile(path):
                raise OperatorError(
                    f"settings file {path}",
                    f"there is no such file ({why} names it)",
                    "write one with: chatd config init PATH",
                    Exit.SETTINGS,
                )
            return Path(path)
    return next((path for path in (user_file(environ), SYSTEM_FILE) if path.is_file()), None)


def user_file(environ: Mapping[str, str]) -> Path:
    """Where a user's own settings file is, whether it exists or not."""
    return xdg_folder(environ, "XDG_CONFIG_HOME", ".config") / "chatd" / "chatd.toml"


def xdg_folder(environ: Mapping[str, str], variable: str, otherwise: str) -> Path:
    """A folder of the XDG base directory specification, which wants relative paths passed over."""
    named = environ.get(variable, "")
    if os.path.isabs(named):
        return Path(named)
    return Path(environ.get("HOME") or os.path.expanduser("~")) / otherwise


def read_environment(environ: Mapping[str, str]) -> Source:
    """The settings in variables named `CHATD__SECTION__KEY`."""
    names = {
        variable: variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".", 1)
        for variable in sorted(environ)
        if variable.startswith(ENVIRONMENT_PREFIX)
    }
    return Source(
        label="environment",
        values={name: environ[variable] for variable, name in names.items()},
        spelled={name: variable for variable, name in names.items()},
        is_text=True,
    )


def read_file(path: Path) -> Source:
    """The settings in a TOML file."""
    what = f"settings file {path}"
    try:
        with path.open("rb") as opened:
            raw = opened.read(FILE_BYTES + 1)
    except OSError as error:
        raise OperatorError(
            what,
            f"cannot be read ({error.strerror})",
            "make it readable, or name another with --config",
            Exit.SETTINGS,
        ) from error
    if len(raw) > FILE_BYTES:
        raise OperatorError(
            what, f"has more than {FILE_BYTES} bytes", "name a settings file with --config", Exit.SETTINGS
        )
    try:
        tables = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise OperatorError(
            what,
            f"is not TOML: {reason}",
            'a line looks like: port = 1234, or: name = "chatd"',
            Exit.SETTINGS,
        ) from error
    values: dict[str, object] = {}
    for section, table in tables.items():
        if isinstance(table, dict):
            values |= {f"{section}.{key}": value for key, value in table.items()}
            if section not in sections() and not table:
                values[f"{section}."] = None
        else:
            values[section] = table
    return Source(label=str(path), values=values)


def _unknown(source: Source, name: str, known: Mapping[str, Setting]) -> OperatorError:
    section, _, key = name.partition(".")
    same_key = [full for full in known if full.rpartition(".")[2] == (key or section)]
    near = same_key[0] if same_key else nearest(name, known)
    if source.is_text:
        what, which = source.label, source.spelling(name)
        suggestion = near and ENVIRONMENT_PREFIX + near.replace(".", "__").upper()
    else:
        what = f"settings file {source.label}"
        which = f"[{section}] {key}".rstrip() if "." in name else name
        suggestion = near and "[{}] {}".format(*near.split("."))
    remedy = f"did you mean {suggestion}?" if suggestion else "see them all with: chatd config show"
    return OperatorError(what, f"there is no setting {which}", remedy, source.exit_code)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name that was probably meant, if any is near."""
    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return close[0] if close else None


def _checked(source: Source, setting: Setting, value: object) -> object:
    try:
        if source.is_text and isinstance(setting.default, tuple):
            value = read_list(str(value))
        elif source.is_text and isinstance(setting.default, dict):
            value = read_table(str(value))
        return msgspec.convert(value, setting.type, strict=not source.is_text)
    except (msgspec.ValidationError, UnicodeError) as error:
        where = "" if source.is_text else f" in {source.label}"
        wanted = " or ".join(setting.choices) or in_words(str(error).removeprefix("Expected ").partition(", got")[0])
        wanted = "text in UTF-8" if isinstance(error, UnicodeError) else wanted
        if isinstance(setting.default, dict):
            wanted = 'a table of texts, such as {"#log" = "12h"}'
        shown = reprlib.repr(value)
        raise OperatorError(
            f"setting {source.spelling(setting.name)}{where}",
            f"{shown} will not do, it takes {wanted}",
            f"the default is {toml_value(setting.default)}",
            source.exit_code,
        ) from error


def in_words(wanted: str) -> str:
    """What a setting takes, as msgspec says it, for those who do not write Python."""
    if repr(RETENTION) in wanted:
        return 'an age such as "12h", "30d" or "8w"'
    for type_, word in TYPES.items():
        wanted = wanted.replace(f"`{type_}`", word)
    return wanted


def read_list(text: str) -> list[str]:
    """A list in a variable: written as in TOML, or just with commas. Nothing is the empty list."""
    if text.lstrip().startswith("["):
        found = read_toml(text)
        return found if isinstance(found, list) else [text]
    return [word.strip() for word in text.split(",") if word.strip()]


def read_table(text: str) -> object:
    """A table in a variable, written as in TOML: {"#log" = "12h"}. Nothing is the empty table."""
    return read_toml(text) if text.strip() else {}


def read_toml(text: str) -> object:
    """A value as it is written in TOML; text that is none stays as it is."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _check_together(settings: Settings) -> None:
    """What a type alone cannot say: some settings only make sense side by side."""
    limits = settings.limits
    for network in limits.trusted_networks:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise OperatorError(
                "setting limits.trusted_networks",
                f"{toml_value(network)} is no network",
                "an address or a network such as 10.0.0.0/8 is one",
                Exit.SETTINGS,
            ) from None
    _check_ages(settings.journal.retention_by_room)
    for small, large in (
        ("body_bytes", "frame_bytes"),
        ("data_bytes", "frame_bytes"),
        ("idle_seconds", "dead_seconds"),
    ):
        low, high = getattr(limits, small), getattr(limits, large)
        if low >= high:
            raise OperatorError(
                f"setting limits.{small}",
                f"{toml_value(low)} is not below limits.{large}, which is {toml_value(high)}",
                f"lower {small} or raise {large}",
                Exit.SETTINGS,
            )


def _check_ages(by_room: Mapping[str, str]) -> None:
    seen: dict[str, str] = {}
    for room, written in by_room.items():
        reason = ""
        try:
            check_room(room)
        except NameRefused as refused:
            reason = f"{_shown(room)} is no room: {refused.reason.rstrip('.')}"
        if not reason and re.match(RETENTION, written) is None:
            reason = f"{_shown(written)} for {_shown(room)} is no age"
        if not reason and (other := seen.setdefault(fold(room), room)) != room:
            reason = f"{_shown(other)} and {_shown(room)} are one room"
        if reason:
            raise OperatorError(
                "setting journal.retention_by_room",
                reason,
                'write it like {"#ops" = "7d", "#log" = "12h", "#archive" = ""}',
                Exit.SETTINGS,
            )


def _shown(text: str) -> str:
    return toml_value(text if len(text) <= 70 else text[:70] + "…")


def without_password(written: str) -> str:
    """A value as it may be shown: of an address, without the user and the password in it."""
    return re.sub(r"//[^\s\"]*@", "//…@", written)


def toml_value(value: object) -> str:
    """A value as it is written in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        # A JSON string is a TOML basic string, except that TOML wants DEL escaped too.
        return msgspec.json.encode(value.encode("utf-8", "replace").decode()).decode().replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_value(key)} = {toml_value(value[key])}" for key in value) + "}"
    raise TypeError(f"no TOML for {type(value).__name__}")
