"""Every outcome of a command is one line and one exit code."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from weighbridge.cli import exits
from weighbridge.cli.interrupts import Terminated
from weighbridge.cli.main import main
from weighbridge.cli.screen import Screen
from weighbridge.contract import errors

ROOT = Path(__file__).parents[3]


def _failing(error):
    def connect(url, token, ca_file):
        raise error

    return connect


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidRequest("no"), 2),
        (errors.InvalidName("no"), 2),
        (errors.InvalidManifest("no"), 2),
        (errors.TooLarge("no"), 2),
        (errors.Unsupported("no"), 2),
        (errors.Forbidden("no"), 3),
        (errors.NotFound("no"), 4),
        (errors.Gone("no"), 4),
        (errors.Conflict("no"), 5),
        (errors.AlreadyExists("no"), 5),
        (errors.InUse("no"), 5),
        (errors.IntegrityError("no"), 6),
        (errors.FileChanged("no"), 6),
        (errors.TransferError("no"), 7),
        (errors.Unavailable("no"), 7),
        (errors.Throttled("no"), 7),
    ],
    ids=lambda value: value.code if isinstance(value, errors.RegistryError) else None,
)
def test_each_class_of_error_has_its_exit_code(folder, capsys, error, code):
    """One line on the error stream, nothing on the output, and the code of the table."""
    assert main(["ls"], connect=_failing(error)) == code
    captured = capsys.readouterr()
    assert captured.err == "weighbridge: error: no\n"
    assert captured.out == ""


def test_every_error_code_is_in_the_table():
    """A new class of error must be given an exit code."""
    for cls in errors.BY_CODE.values():
        assert exits.of(cls("x")) in exits.MEANINGS
        assert exits.of(cls("x")) != exits.UNEXPECTED


def test_a_missing_token_says_how_to_sign_in(folder, capsys):
    """The next step is in the message."""
    assert main(["ls"], connect=_failing(errors.Unauthenticated("no token"))) == 3
    assert "`weighbridge login URL`" in capsys.readouterr().err


def test_a_message_stays_on_one_line_and_cannot_steer_the_terminal(folder, capsys):
    """Line breaks and escapes from a server are not passed on."""
    assert main(["ls"], connect=_failing(errors.NotFound("a\nb\x1b[2J"))) == 4
    assert capsys.readouterr().err == "weighbridge: error: a b\\x1b[2J\n"


def test_an_error_of_the_server_names_the_request(folder, capsys):
    """A 500 can be found in the server's log."""
    error = errors.RegistryError("it broke")
    error.request_id = "r-77"
    assert main(["ls"], connect=_failing(error)) == exits.UNEXPECTED
    assert capsys.readouterr().err == "weighbridge: error: it broke (request r-77)\n"


def test_a_local_file_error_has_its_own_code(folder, capsys):
    """A full disk or a missing right is no fault of the server."""
    assert main(["ls"], connect=_failing(PermissionError(13, "Permission denied", "x"))) == 8
    assert capsys.readouterr().err == "weighbridge: error: [Errno 13] Permission denied: 'x'\n"


def test_a_bug_is_one_line_and_debug_shows_where(folder, capsys):
    """Without --debug no traceback, with it the whole one, before or after the command."""
    assert main(["ls"], connect=_failing(ZeroDivisionError("oops"))) == exits.UNEXPECTED
    assert "Traceback" not in capsys.readouterr().err
    for words in (["ls", "--debug"], ["--debug", "ls"]):
        assert main(words, connect=_failing(ZeroDivisionError("oops"))) == exits.UNEXPECTED
        captured = capsys.readouterr().err
        assert "Traceback" in captured
        assert captured.endswith("unexpected ZeroDivisionError: oops (--debug shows where)\n")


@pytest.mark.parametrize(
    ("words", "resumes"),
    [
        (["push", "vision/digits", "out"], True),
        (["checkpoint", "pull", "vision/digits@1"], True),
        (["ls"], False),
    ],
)
def test_an_interruption_says_how_to_resume(folder, capsys, words, resumes):
    """Ctrl-C ends with 130; a transfer says that the same command continues it."""
    for error, code, said in (
        (KeyboardInterrupt(), 130, "interrupted"),
        (Terminated(), 143, "terminated"),
    ):
        assert main(words, connect=_failing(error)) == code
        again = f": run again: weighbridge {shlex.join(words)}" if resumes else ""
        assert capsys.readouterr().err == f"weighbridge: error: {said}{again}\n"


def test_an_interruption_says_what_is_stored_and_quotes_the_command(folder, capsys):
    """The line can be pasted into a shell, whatever the names."""
    words = ["push", "vision/digits", "my model.bin", "--metric", "a=1"]
    error = KeyboardInterrupt()
    error.add_note("412 MB of 1.0 GB are stored")
    assert main(words, connect=_failing(error)) == 130
    assert capsys.readouterr().err == (
        "weighbridge: error: interrupted: 412 MB of 1.0 GB are stored; run again: "
        "weighbridge push vision/digits 'my model.bin' --metric a=1\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pussh"], "there is no command 'pussh'; did you mean `weighbridge push`?"),
        (["zzzzzz"], "there is no command 'zzzzzz'; see `weighbridge --help`"),
        (["token", "crate"], "has no command 'crate'; it has ls, create, revoke"),
        (["ls", "--nope"], "unrecognized arguments: --nope; see `weighbridge ls --help`"),
        (["ls", "--limit", "0"], "'0' is no number of at least 1"),
        (["ls", "--lim", "3"], "unrecognized arguments: --lim"),
        (["push"], "the following arguments are required"),
        (["login", "http://x", "--token", "a", "--token-stdin"], "not allowed with"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_help(line, words, message):
    """Usage errors end with 2 and never ask a server."""
    assert line.run(*words) == exits.USAGE
    assert message in line.err
    assert line.err.count("\n") == 1
    assert line.asked == []


def test_without_a_command_the_overview_is_printed(line):
    """No words at all are wrong usage, but helpful; so is a family alone."""
    assert line.run() == exits.USAGE
    assert line.out.startswith("usage: weighbridge COMMAND")
    assert line.run("token") == exits.USAGE
    assert "token revoke" in line.out


def test_help_takes_a_command(line):
    """`weighbridge help push` is `weighbridge push --help`."""
    assert line.run("help", "checkpoint", "ls") == 0
    assert line.out.startswith("usage: weighbridge checkpoint ls")


@pytest.mark.parametrize("words", [["version"], ["--version"], ["-V"]])
def test_the_version_can_be_asked_in_three_ways(line, words):
    """Nothing is asked of a server."""
    assert line.run(*words) == 0
    assert re.fullmatch(r"weighbridge \d+\.\d+\.\d+\n", line.out)


def test_options_may_stand_between_paths(line):
    """Arguments and options mix freely."""
    assert line.run("push", "vision/digits", "model.safetensors", "--quiet", "CARD.md") == 0
    assert "2 files" in line.out


def test_after_two_dashes_everything_is_a_path(line, folder):
    """A file whose name begins with a dash can be pushed."""
    (folder / "--help").write_bytes(b"x")
    assert line.run("push", "--quiet", "vision/digits", "--", "--help") == 0
    assert "1 file " in line.out


def test_the_address_can_be_given(line):
    """--url goes before environment and configuration."""
    assert line.run("ls", "--url", "http://127.0.0.1:9") == 0
    assert line.asked == [("http://127.0.0.1:9", None, None)]


def _program(*words, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "sdk"), **options.pop("env", {})}
    return subprocess.Popen(
        [sys.executable, "-m", "weighbridge.cli", *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def test_a_reader_that_goes_away_is_no_error(folder):
    """A closed pipe ends quietly with 141, as `head` would want it."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "weighbridge.cli", "--help"],
            env={**os.environ, "PYTHONPATH": str(ROOT / "sdk")},
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.stderr == b""
    assert done.returncode == exits.PIPE


def test_help_loads_neither_the_client_nor_the_network(folder):
    """`weighbridge --help` stays fast: nothing that moves bytes or speaks HTTP is imported."""
    code = (
        "import sys\nfrom weighbridge.cli.main import main\nmain(['--help'])\n"
        "heavy = {'weighbridge.client', 'weighbridge.registry', 'http.client', 'ssl'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT / "sdk")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_server_that_is_not_there_is_one_line(folder):
    """The real client, the real program: exit code 7 and a next step."""
    process = _program(
        "ls", env={"WEIGHBRIDGE_URL": "http://127.0.0.1:1", "WEIGHBRIDGE_TOKEN": "x"}
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert out == b""
    assert err.startswith(b"weighbridge: error: ")
    assert err.count(b"\n") == 1


def test_ctrl_c_ends_the_real_program_with_130(folder):
    """A signal while it waits for an answer is an interruption, not a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        process = _program("ls", "--url", url, env={"WEIGHBRIDGE_TOKEN": "x"})
        connection, _ = server.accept()
        with connection:
            connection.settimeout(30)
            assert connection.recv(3) == b"GET"  # it asked, and now it waits
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (out, err) == (b"", b"weighbridge: error: interrupted\n")


def test_a_terminal_that_cannot_show_a_name_does_not_end_the_command(folder):
    """What the encoding lacks is escaped."""
    code = (
        "import sys\nfrom tests.sdk.cli.fake_registry import FakeRegistry\n"
        "from tests.sdk.cli.world import world\n"
        "from weighbridge.cli import main as program\n"
        "sys.argv = ['weighbridge', 'ls', 'vision']\n"
        "program.legible()\n"
        "sys.exit(program.main(connect=lambda *_: FakeRegistry(world())))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'sdk'}:{ROOT}", "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.stderr == b""
    assert b"vision/guest#9999 \\u6570\\u5b57" in done.stdout


class _Terminal:
    def isatty(self):
        return True


class _File:
    def isatty(self):
        return False


@pytest.mark.parametrize(
    ("stream", "env", "coloured"),
    [
        (_Terminal(), {}, True),
        (_Terminal(), {"NO_COLOR": "1"}, False),
        (_Terminal(), {"TERM": "dumb"}, False),
        (_File(), {}, False),
    ],
)
def test_only_a_terminal_gets_styles(stream, env, coloured):
    """A pipe, NO_COLOR and a dumb terminal get plain text."""
    assert Screen.on(stream, stream, env).colour is coloured
    assert ("\x1b" in Screen(stream, stream, coloured).bold("x")) is coloured
