"""cigf export."""

from typing import Annotated, Literal

import typer

from cigf.cli.options import Behavior, Force, Out, RunArgument
from cigf.cli.output import say


def export(
    run: RunArgument,
    out: Out,
    format_: Annotated[
        Literal["parquet", "safetensors", "onnx", "faiss"],
        typer.Option(
            "--format",
            help="parquet: a folder of tables; safetensors: one file of arrays; onnx: the scorer "
            "(extra: onnx); faiss: the tables with an index of the items (extra: ann).",
        ),
    ],
    behavior: Behavior = None,
    force: Force = False,
) -> None:
    """Write a trained model for other programs: its factors, or its scorer.

    Example: cigf export RUN --format parquet --out factors
    """
    from cigf.inference.artifact import load_artifact
    from cigf.inference.exporting import export as write

    write(load_artifact(run), out, format_, behavior=behavior, force=force)
    say(f"Wrote {out}")
