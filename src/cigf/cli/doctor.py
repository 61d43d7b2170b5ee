"""cigf doctor."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from cigf.cli.options import Json
from cigf.cli.output import print_json, print_table, say


def doctor(
    dataset: Annotated[
        Path | None, typer.Argument(metavar="[DATASET]", help="Folder written by cigf data.")
    ] = None,
    json: Json = False,
) -> None:
    """Check the installation and, if given, a dataset: leaks, empty rows, odd times, baselines.

    Exits with 1 if the dataset has errors.
    """
    from cigf.data.environment import environment

    facts = {**environment().to_json(), "device": _device(), "kernels": _kernels()}
    result: dict[str, Any] = {"environment": facts}
    if dataset is not None:
        result |= _examine(dataset)
    if json:
        print_json(result)
    else:
        _print(result)
    if any(finding["severity"] == "error" for finding in result.get("findings", ())):
        raise typer.Exit(1)


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"cuda: {torch.cuda.get_device_name()}"
    return f"cpu, {torch.get_num_threads()} threads"


def _kernels() -> str:
    import torch

    from cigf.compiled import lacking_for_gpu, usable

    operations = "torch's operations; pip install 'cigf[fast]' for compiled ones"
    on_cpu = "compiled (numba)" if usable() else operations
    if not torch.cuda.is_available():
        return on_cpu
    lacking = lacking_for_gpu()
    on_gpu = f"torch's operations ({lacking})" if lacking else "compiled (triton)"
    return f"on the CPU {on_cpu}; on the GPU {on_gpu}"


def _examine(dataset: Path) -> dict[str, Any]:
    from cigf.data import checks
    from cigf.data.dataset_store import load_split
    from cigf.experiment.evaluating import evaluate_references

    split = load_split(dataset)
    findings = checks.check_split(split, now=int(time.time() * 1000))
    result: dict[str, Any] = {"findings": [finding.to_json() for finding in findings]}
    if len(split.test.get(split.train.behaviors.target_name, ())):
        result["reference"] = evaluate_references(split)
    return result


def _print(result: dict[str, Any]) -> None:
    facts = result["environment"]
    versions = facts.pop("versions")
    rows = [*facts.items(), *versions.items()]
    print_table(("fact", "value"), [(name, _fact(name, value)) for name, value in rows])
    if "findings" not in result:
        say("Check a dataset too: cigf doctor DATASET")
        return
    findings = [tuple(finding.values()) for finding in result["findings"]]
    print_table(("severity", "code", "found", "advice"), findings)
    for name, metrics in result.get("reference", {}).items():
        for protocol, groups in metrics.items():
            values = ", ".join(f"{m} {groups['all'][m]:.3f}" for m in ("hr@10", "ndcg@10"))
            say(f"{name}, {protocol}: {values}")


def _fact(name: str, value: Any) -> str:
    if value is None:
        return "not installed" if "_" not in name else "unknown"
    if name.startswith(("memory", "disk")):
        return f"{value / 2**30:.1f} GiB"
    return str(value)
