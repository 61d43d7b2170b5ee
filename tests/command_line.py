"""The commands, run in this process."""

from typer.testing import CliRunner

from cigf.cli.main import app

N_USERS = 61
QUICK = ("--set", "training.epochs=2", "--set", "training.evaluate_every=1")


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.stderr
    return result


def fails(*arguments, code=2):
    """Run, and return the one line on stderr; stdout must stay empty."""
    result = run(*arguments, code=code)
    assert result.stdout == ""
    *_, line = result.stderr.splitlines()
    assert line.startswith("Error: ")
    return line.removeprefix("Error: ")
