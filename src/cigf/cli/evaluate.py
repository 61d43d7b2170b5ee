"""cigf evaluate."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cigf.cli.options import Behavior, Device, Json, RunArgument, numbers
from cigf.cli.output import print_json, print_next, print_table, say
from cigf.cli.ranks import team


def evaluate(
    run: RunArgument,
    dataset: Annotated[
        Path | None, typer.Option(help="Dataset to judge on.", show_default="that of the run")
    ] = None,
    part: Annotated[Literal["test", "valid"], typer.Option(help="Which held-out pairs.")] = "test",
    behavior: Behavior = None,
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            metavar="full|1+99", help="What an item competes with; repeatable.", show_default="both"
        ),
    ] = None,
    k: Annotated[str, typer.Option("--k", help="Cut-offs.")] = "1,5,10,20",
    candidate_seed: Annotated[
        int, typer.Option(min=0, help="Seed of the 99 sampled candidates.")
    ] = 0,
    per_user: Annotated[
        Path | None, typer.Option(help="Also write each user's figures to this Parquet file.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace --per-user if it exists.")
    ] = False,
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Resamplings for 95 % intervals; 0: none.")
    ] = 1000,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Judge a run on its held-out pairs, beside popularity and the touched-first rule.

    Touched pairs are those whose user had shown interest in the item before; new ones are
    discoveries. They are different products, so they are measured apart.
    """
    ks = numbers("--k", k)
    from cigf.experiment.evaluating import evaluate_run
    from cigf.storage import refuse_existing

    with team(device) as those:
        if per_user is not None and those.leads:
            refuse_existing(per_user, force)
        result = evaluate_run(
            run,
            dataset=dataset,
            part=part,
            behavior=behavior,
            protocols=tuple(dict.fromkeys(protocol or ("full", "1+99"))),
            ks=ks,
            candidate_seed=candidate_seed,
            per_user=per_user,
            n_bootstrap=bootstrap,
            device=device,
            ranks=those.ranks,
        )
    if not those.leads:
        return
    if json:
        print_json(result)
        return
    shown = max([cut for cut in ks if cut <= 10], default=min(ks))
    print_evaluation(result, shown)
    say(f"Wrote {run / 'evaluation.json'}" + (f" and {per_user}" if per_user else ""))
    print_next(f"cigf recommend {run} --all --k 10 --out recs.parquet")


def print_evaluation(result: dict[str, Any], k: int) -> None:
    """Print one table per protocol: the model beside the references, by group of pairs."""
    scorers = {"model": result["metrics"], **result.get("reference", {})}
    names = (f"hr@{k}", f"ndcg@{k}", "mrr")
    for protocol, groups in result["metrics"].items():
        rows = [
            (f"{group} ({result['n'][group]:,})", scorer, *map(measured.get, names))
            for group in groups
            for scorer, metrics in scorers.items()
            if (measured := metrics.get(protocol, {}).get(group))
        ]
        header = ("pairs", "scorer", *names)
        print_table(header, rows, title=f"{result['split']}, {protocol}")
