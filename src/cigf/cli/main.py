"""The command line: which commands there are. Their work is imported when they run."""

from typing import Annotated

import typer

import cigf
from cigf.cli import (
    compare,
    demo,
    describe,
    doctor,
    evaluate,
    explain,
    export,
    fetch,
    generate,
    import_data,
    index,
    prepare,
    recommend,
    report,
    reproduce,
    serve,
    similar,
    train,
    tune,
    update,
)
from cigf.cli.group import Group

app = typer.Typer(
    cls=Group,
    help="Multi-behavior recommendation: from a log of views, carts and purchases to the next "
    "purchase. Start with: cigf demo",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(help="Event logs and datasets.", no_args_is_help=True)


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"cigf {cigf.__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Options of all commands."""


app.command("demo")(demo.demo)
app.add_typer(data, name="data")
data.command("prepare")(prepare.prepare)
data.command("import")(import_data.import_data)
data.command("fetch")(fetch.fetch)
data.command("generate")(generate.generate)
data.command("describe")(describe.describe)
app.command("doctor")(doctor.doctor)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("compare")(compare.compare)
app.command("tune")(tune.tune)
app.command("reproduce")(reproduce.reproduce)
app.command("recommend")(recommend.recommend)
app.command("similar")(similar.similar)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.command("report")(report.report)
app.command("update")(update.update)
app.command("index")(index.index)
app.command("serve")(serve.serve)


def main() -> None:
    """Entry point of the program."""
    app()
