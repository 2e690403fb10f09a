"""Settings: where they come from, which one wins, and what is said about a wrong one."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import msgspec
import pytest

import chatd.settings
from chatd import cli
from chatd.cli import main
from chatd.cli_config import reference
from chatd.config import BUILT_IN, Loaded, Source, load, toml_value
from chatd.core.limits import Limits
from chatd.errors import Exit, OperatorError
from chatd.reload import Change
from chatd.settings import LimitSettings, Settings, declared, sections

TREE = Path(__file__).parent.parent


def with_file(tmp_path: Path, text: str, **environ: str) -> Loaded:
    path = tmp_path / "chatd.toml"
    path.write_text(text)
    return load(file=str(path), environ=environ)


def refused(tmp_path: Path, text: str, **environ: str) -> str:
    with pytest.raises(OperatorError) as caught:
        with_file(tmp_path, text, **environ)
    assert caught.value.exit_code == Exit.SETTINGS
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_without_anything_all_is_built_in(tmp_path: Path) -> None:
    loaded = load(environ={"HOME": str(tmp_path)})
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {BUILT_IN}


def test_command_line_wins_over_environment_over_file_over_built_in(tmp_path: Path) -> None:
    """A21: one order for every setting; A22: what is given when starting wins."""
    path = tmp_path / "chatd.toml"
    path.write_text('[server]\nname = "file"\nnetwork = "file"\nmotd = "file"\n')
    environ = {"CHATD__SERVER__NAME": "environment", "CHATD__SERVER__NETWORK": "environment"}
    chosen = Source(label="command line", values={"server.name": "option"}, spelled={"server.name": "--name"})
    loaded = load(chosen, file=str(path), environ=environ)
    server = loaded.settings.server
    assert (server.name, server.network, server.motd) == ("option", "environment", "file")
    assert server.port == 1234
    assert loaded.origins["server.name"] == "--name"
    assert loaded.origins["server.network"] == "CHATD__SERVER__NETWORK"
    assert loaded.origins["server.motd"] == str(path)
    assert not loaded.is_chosen("server.port")


def test_environment_is_text_and_becomes_what_the_setting_is(tmp_path: Path) -> None:
    loaded = with_file(
        tmp_path,
        "",
        CHATD__LIMITS__FRAME_BYTES="50000",
        CHATD__LIMITS__IDLE_SECONDS="1.5",
        CHATD__SERVER__PUBLIC="true",
        CHATD__SERVER__PORT="unix:/run/chatd.sock",
    )
    assert loaded.settings.limits.frame_bytes == 50000
    assert loaded.settings.limits.idle_seconds == 1.5
    assert loaded.settings.server.public is True
    assert loaded.settings.server.port == "unix:/run/chatd.sock"


@pytest.mark.parametrize("variable", ["CHATD_CONFIG", "XDG_CONFIG_HOME", "HOME"])
def test_the_file_is_found(tmp_path: Path, variable: str) -> None:
    places = {
        "CHATD_CONFIG": "some.toml",
        "XDG_CONFIG_HOME": "chatd/chatd.toml",
        "HOME": ".config/chatd/chatd.toml",
    }
    path = tmp_path / places[variable]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[server]\nport = 99\n")
    value = str(path if variable == "CHATD_CONFIG" else tmp_path)
    loaded = load(environ={"HOME": "/nowhere", variable: value})
    assert loaded.file == path
    assert loaded.settings.server.port == 99


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    for file, environ in (("/no/such", {}), (None, {"CHATD_CONFIG": "/no/such"})):
        with pytest.raises(OperatorError, match=r"settings file /no/such: there is no such file") as caught:
            load(file=file, environ=environ)
        assert caught.value.exit_code == Exit.SETTINGS


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[server]\nprot = 1\n", "no setting [server] prot; did you mean [server] port?"),
        ("port = 1\n", "no setting port; did you mean [server] port?"),
        ("[server]\nframe_bytes = 1\n", "did you mean [limits] frame_bytes?"),
        ("[sever]\nport = 1\n", "no setting [sever] port; did you mean [server] port?"),
        ("[nonsense]\n", "no setting [nonsense]; see them all with: chatd config show"),
        ("[limits]\nframe_bytes = 'big'\n", "setting limits.frame_bytes in {}: 'big' will not do"),
        ("[limits]\nframe_bytes = 1\n", "1 will not do, it takes a whole number >= 4096; the default is 65536"),
        ("[server]\npublic = 1\n", "1 will not do, it takes true or false"),
        (
            '[journal]\nretention = "30 days"\n',
            'will not do, it takes an age such as "12h", "30d" or "8w"; the default',
        ),
        ("[journal]\ndurability = 'some'\n", "'some' will not do, it takes fsync or normal or memory"),
        ("[limits]\nbody_bytes = 9000\nframe_bytes = 8000\n", "9000 is not below limits.frame_bytes"),
        ("what is this\n", "is not TOML: Expected '=' after a key"),
        ("\x00", "is not TOML"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(tmp_path: Path, text: str, told: str) -> None:
    """A21: an unknown setting or a value of the wrong kind is an error, with the nearest name."""
    line = refused(tmp_path, text)
    assert told.format(tmp_path / "chatd.toml") in line
    assert str(tmp_path / "chatd.toml") in line or "limits.body_bytes" in line


def test_a_file_that_is_not_text_or_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chatd.toml"
    for raw, told in ((b"\xff\xfe", "is not TOML"), (b"#" * (1 << 20) + b"\n", "has more than")):
        path.write_bytes(raw)
        with pytest.raises(OperatorError, match=told):
            load(file=str(path), environ={})


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("CHATD__SERVER__PRT", "no setting CHATD__SERVER__PRT; did you mean CHATD__SERVER__PORT?"),
        ("CHATD__PORT", "did you mean CHATD__SERVER__PORT?"),
        ("CHATD__LIMITS__FRAME_BYTES", "setting CHATD__LIMITS__FRAME_BYTES: 'x' will not do"),
    ],
)
def test_a_wrong_variable_is_told_in_one_line(tmp_path: Path, variable: str, told: str) -> None:
    assert told in refused(tmp_path, "", **{variable: "x"})


# -- the reference --------------------------------------------------------------------------------------------


def uncommented(text: str) -> str:
    return re.sub(r"^#(\w+ = )", r"\1", text, flags=re.MULTILINE)


def test_the_reference_has_every_setting_at_its_default_and_nothing_else() -> None:
    """A21: conf/chatd.toml and the code say the same, both ways."""
    written = tomllib.loads(uncommented((TREE / "conf/chatd.toml").read_text()))
    in_code = {
        section: {key: getattr(struct(), key) for key in struct.__struct_fields__}
        for section, struct in sections().items()
    }
    assert written == msgspec.json.decode(msgspec.json.encode(in_code))  # TOML has lists where the code has tuples


@pytest.mark.parametrize("text", ['["10.0.0.0/8", "::1"]', "10.0.0.0/8,::1", " 10.0.0.0/8 , ::1 "])
def test_a_list_may_be_given_in_a_variable(tmp_path: Path, text: str) -> None:
    loaded = with_file(tmp_path, "", CHATD__LIMITS__TRUSTED_NETWORKS=text)
    assert loaded.settings.limits.trusted_networks == ("10.0.0.0/8", "::1")
    assert with_file(tmp_path, "", CHATD__LIMITS__TRUSTED_NETWORKS="[]").settings.limits.trusted_networks == ()


def test_a_network_that_is_none_is_told_in_one_line(tmp_path: Path) -> None:
    line = refused(tmp_path, '[limits]\ntrusted_networks = ["10.0.0.0/8", "300.1/8"]\n')
    assert 'setting limits.trusted_networks: "300.1/8" is no network' in line


TABLE = {"#ops": "7d", "#archive": "", "#日本": "1w"}


@pytest.mark.parametrize(
    "text",
    [
        '[journal]\nretention_by_room = {"#ops" = "7d", "#archive" = "", "#日本" = "1w"}\n',
        '[journal.retention_by_room]\n"#ops" = "7d"\n"#archive" = ""\n"#日本" = "1w"\n',
    ],
)
def test_a_table_may_be_given_in_a_file(tmp_path: Path, text: str) -> None:
    loaded = with_file(tmp_path, text)
    assert loaded.settings.journal.retention_by_room == TABLE
    assert loaded.origins["journal.retention_by_room"].endswith("chatd.toml")


def test_a_table_may_be_given_in_a_variable_as_toml(tmp_path: Path) -> None:
    """It is taken as a whole: nothing of the file's table is left."""
    file = '[journal.retention_by_room]\n"#log" = "1h"\n'
    for text, wanted in (('{"#ops" = "7d", "#archive" = "", "#日本" = "1w"}', TABLE), ("{}", {}), (" ", {})):
        loaded = with_file(tmp_path, file, CHATD__JOURNAL__RETENTION_BY_ROOM=text)
        assert loaded.settings.journal.retention_by_room == wanted
    told = refused(tmp_path, file, CHATD__JOURNAL__RETENTION_BY_ROOM="#ops=7d")
    assert "setting CHATD__JOURNAL__RETENTION_BY_ROOM: '#ops=7d' will not do, it takes a table of texts" in told


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('{"ops" = "7d"}', '"ops" is no room: A room\'s name begins with #;'),
        ('{"#a b" = "7d"}', '"#a b" is no room: A room\'s name after the # cannot have spaces'),
        ('{"#ops" = "soon"}', '"soon" for "#ops" is no age; write it like {"#ops" = "7d"'),
        ('{"#ops" = "7d\\n"}', '"7d\\n" for "#ops" is no age'),
        ('{"#ops" = "7d", "#Ops" = "8d"}', '"#ops" and "#Ops" are one room'),
        ('{"#ops" = 7}', 'will not do, it takes a table of texts, such as {"#log" = "12h"}; the default is {}'),
        ('"7d"', "'7d' will not do, it takes a table of texts"),
    ],
)
def test_a_wrong_age_of_a_room_is_told_in_one_line(
    tmp_path: Path, table: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """At the start, and by `chatd config check`."""
    line = refused(tmp_path, f"[journal]\nretention_by_room = {table}\n")
    assert told in line
    assert line.startswith("setting journal.retention_by_room")
    assert main(["config", "check", str(tmp_path / "chatd.toml")]) == Exit.SETTINGS
    assert capsys.readouterr().err == f"chatd: {line}\n"


def test_the_reference_is_what_config_init_writes() -> None:
    assert (TREE / "conf/chatd.toml").read_text() == reference(), (
        "write it again with: python -m chatd config init --force conf/chatd.toml"
    )


def test_as_it_stands_the_reference_changes_nothing(tmp_path: Path) -> None:
    loaded = with_file(tmp_path, reference())
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {BUILT_IN}


def test_every_setting_says_what_it_is_for_and_is_used() -> None:
    source = "".join(path.read_text() for path in (TREE / "chatd").rglob("*.py") if path.name != "settings.py")
    for setting in declared().values():
        assert setting.description.endswith("."), f"{setting.name} is not described"
        assert re.search(rf"\.{setting.key}\b", source), f"{setting.name} is used nowhere"


def test_the_limits_are_those_of_the_rules() -> None:
    assert msgspec.structs.asdict(LimitSettings()) == msgspec.structs.asdict(Limits())
    assert isinstance(Settings().limits, Limits)


@pytest.mark.parametrize(
    "value",
    ["", 'say "hi"\\', "line\nbreak\ttab", "\x00\x7f", "é 你 🎉", 0, -1, 1.5, True, False, {}, {'a "b"': "c", "é": 1}],
)
def test_values_are_written_as_toml_reads_them(value: object) -> None:
    assert tomllib.loads(f"key = {toml_value(value)}")["key"] == value


# -- chatd config ---------------------------------------------------------------------------------------------


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if name.startswith(("CHATD", "XDG_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_init_writes_check_reads_show_tells(at_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = at_home / ".config/chatd/chatd.toml"
    assert cli.main(["config", "init"]) == Exit.OK
    assert path.read_text() == reference()
    assert cli.main(["config", "check"]) == Exit.OK
    assert f"{path}: fine, everything is at its default\n" in capsys.readouterr().out
    path.write_text(own := '[server]\nname = "mine"\n[journal.retention_by_room]\n"#a" = "1h"\n')
    assert cli.main(["config", "init"]) == Exit.SETTINGS
    assert path.read_text() == own
    assert cli.main(["config", "check"]) == Exit.OK
    assert cli.main(["config", "show", "--port", "77"]) == Exit.OK
    told = capsys.readouterr()
    assert told.err == f"chatd: settings file {path}: is there already; overwrite it with --force\n"
    assert f"{path}: fine, 2 settings\n" in told.out
    assert '\nretention_by_room = {"#a" = "1h"}' in told.out
    assert re.search(rf'^name = "mine" +# {re.escape(str(path))}$', told.out, re.MULTILINE)
    assert re.search(r'^port = "77" +# --port$', told.out, re.MULTILINE)
    assert re.search(r"^line_port = 2323 +# built in$", told.out, re.MULTILINE)
    assert cli.main(["config", "init", "--force"]) == Exit.OK
    assert path.read_text() == reference()


def test_init_prints_on_request(at_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "init", "-"]) == Exit.OK
    assert capsys.readouterr().out == reference()


@pytest.mark.parametrize("text", ["[server]\nport = 99999\n", "[server]\ninterface = 'example.org'\n", "[x]\n"])
def test_check_finds_what_a_start_would_find(at_home: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = at_home / "wrong.toml"
    path.write_text(text)
    assert cli.main(["config", "check", str(path)]) == Exit.SETTINGS
    assert capsys.readouterr().err.count("\n") == 1


def test_settings_know_no_default_twice() -> None:
    """A16: server and client have the default port from one place."""
    assert "1234" not in Path(chatd.settings.__file__).read_text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[server]\nport = "x"\n', "this is neither a port number nor an endpoint"),
        ("[server]\nport = 99999\n", "a port is a number from 0 (any free one) to 65535"),
        ('[server]\ninterface = "foo"\n', "foo"),
        ('[journal]\nurl = "mysql:"\n', "there is no such kind of journal"),
    ],
)
def test_check_finds_what_would_keep_a_server_from_starting(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    path = tmp_path / "chatd.toml"
    path.write_text(text)
    assert main(["config", "check", str(path)]) == 78
    line = capsys.readouterr().err
    assert told in line
    assert line.count("\n") == 1


def test_check_tells_every_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "chatd.toml"
    path.write_text("[server]\nprot = 1\nmotd = 5\n[limits]\nbody_bytes = -3\n")
    assert cli.main(["config", "check", str(path)]) == Exit.SETTINGS
    told = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].split()[0] for line in told] == ["settings", "setting", "setting"]
    assert ("prot" in told[0], "motd" in told[1], "body_bytes" in told[2]) == (True, True, True)


def test_the_password_of_the_stream_is_not_shown(at_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither when settings are shown, nor when one is told to have changed."""
    assert main(["config", "show", "--journal=nats://chatd:se/cret@10.0.0.1,10.0.0.2:4222"]) == 0
    told = capsys.readouterr().out
    assert 'url = "nats://…@10.0.0.1,10.0.0.2:4222"' in told
    assert "cret" not in told
    assert str(Change("journal.url", "sqlite:", "tls://a:secret@b", "a file")) == (
        'journal.url "sqlite:" -> "tls://…@b"'
    )
