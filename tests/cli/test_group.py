"""How commands end: exit codes and messages, of a command line with the same root group."""

import signal
import subprocess
import sys
import textwrap

import pytest
import typer
from typer.testing import CliRunner

from cigf.cli.group import Group
from cigf.cli.main import app as real_app
from cigf.errors import (
    ArtifactError,
    CigfError,
    DivergedError,
    InterruptedRunError,
)

app = typer.Typer(cls=Group, pretty_exceptions_enable=False)
inner = typer.Typer()
app.add_typer(inner, name="inner")
ENDS = {
    "ok": None,
    "failed": CigfError("the work failed"),
    "diverged": DivergedError("not finite"),
    "misused": ArtifactError("no such [run]"),
    "stopped": InterruptedRunError("stopped after epoch 3; go on with --resume"),
    "interrupted": KeyboardInterrupt(),
    "no folder": NotADirectoryError(20, "Not a directory", "some_file/run"),
    "disk": OSError(5, "Input/output error"),
    "bug": ZeroDivisionError("a bug"),
}


@app.command()
@inner.command("deep")
def end(how: str) -> None:
    typer.echo("result")
    error = ENDS[how]
    if error is not None:
        raise error


def run(*arguments, of=app):
    return CliRunner().invoke(of, list(arguments))


@pytest.mark.parametrize("path", [["end"], ["inner", "deep"]])
@pytest.mark.parametrize(
    ("how", "code", "message"),
    [
        ("ok", 0, ""),
        ("failed", 1, "Error: the work failed\n"),
        ("diverged", 1, "Error: not finite\n"),
        ("misused", 2, "Error: no such [run]\n"),
        ("stopped", 130, "Error: stopped after epoch 3; go on with --resume\n"),
        ("no folder", 2, "Error: some_file/run: Not a directory\n"),
        ("disk", 1, "Error: Input/output error\n"),
        ("interrupted", 130, "Interrupted; nothing half-written was left behind.\n"),
    ],
)
def test_exit_code_and_message_tell_how_it_ended(path, how, code, message):
    result = run(*path, how)
    assert result.exit_code == code
    assert result.stdout == "result\n"
    assert result.stderr == message


def test_a_bug_shows_its_traceback():
    result = run("end", "bug")
    assert isinstance(result.exception, ZeroDivisionError)


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["traim"], "train"),
        (["data", "prepar"], "prepare"),
        (["train", "D", "--out", "R", "--devise", "cpu"], "--device"),
        (["data", "prepare", "x.csv", "--behaviours", "a", "--out", "D"], "--behaviors"),
        (["recommend", "R", "--al"], "--all"),
    ],
)
def test_misspelled_words_get_a_suggestion(arguments, suggestion):
    result = run(*arguments, of=real_app)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert suggestion in " ".join(result.stderr.split())
    assert arguments[-1] in result.stderr or "--" in result.stderr


def test_the_version_is_that_of_the_package():
    import cigf

    result = run("--version", of=real_app)
    assert (result.exit_code, result.stdout) == (0, f"cigf {cigf.__version__}\n")


def test_the_version_is_that_of_the_installation():
    from importlib.metadata import version

    import cigf

    assert cigf.__version__ == version("cigf")


COMMANDS = [
    *(["demo"], ["doctor"], ["train"], ["evaluate"], ["recommend"], ["similar"]),
    *(["data", name] for name in ("prepare", "import", "fetch", "generate", "describe")),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_explains_each_option(command):
    result = run(*command, "--help", of=real_app)
    assert result.exit_code == 0
    assert f"cigf {' '.join(command)}" in result.stdout or "Usage:" in result.stdout
    from typer.main import get_command

    node = get_command(real_app)
    for name in command:
        node = node.commands[name]
    assert node.help
    assert [p.name for p in node.params if not getattr(p, "help", None)] == []


def program(code):
    return [sys.executable, "-c", textwrap.dedent(code)]


def test_a_reader_that_has_seen_enough_is_no_error():
    code = """
        import typer
        from cigf.cli.group import Group
        app = typer.Typer(cls=Group)
        @app.callback()
        def root(): pass
        @app.command()
        def many():
            for line in range(100_000): print(line)
        app(["many"])
    """
    process = subprocess.Popen(program(code), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"0\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()


def test_control_c_ends_with_130():
    code = """
        import time, typer
        from cigf.cli.group import Group
        app = typer.Typer(cls=Group)
        @app.callback()
        def root(): pass
        @app.command()
        def wait():
            print("ready", flush=True)
            time.sleep(60)
        app(["wait"])
    """
    process = subprocess.Popen(program(code), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err == b"Interrupted; nothing half-written was left behind.\n"
