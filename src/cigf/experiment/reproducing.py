"""Reproducing the paper's tables and figures on any dataset: one grid of cells, several views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cigf.data.dataset_store import load_split
from cigf.data.splitting import Split
from cigf.experiment.comparing import Comparison
from cigf.experiment.comparison_report import facts_of, notes_of
from cigf.experiment.entries import Entry, read_entries
from cigf.experiment.experiments import CIGF, Experiment, entry_of, models_of, usable
from cigf.experiment.parts import PARTS, Context
from cigf.reports.published import PublishedData, published_data
from cigf.reports.reproduction import Reproduction

PAPER_EPOCHS, PAPER_SEEDS = 100, 5


@dataclass(frozen=True)
class Plan:
    """What is to be reproduced, and on what.

    Args:
        experiments: Which.
        comparison: All their cells together.
        rows: Of each experiment: name in the comparison -> label.
        left_out: Models that are not there or cannot take the data, with the reason.
        configured: Whether the models' settings came from files, such as the matched ones.
    """

    experiments: Sequence[Experiment]
    comparison: Comparison
    rows: Mapping[str, Mapping[str, str]]
    left_out: Mapping[str, str]
    configured: bool


def plan(
    experiments: Sequence[Experiment],
    dataset: Path,
    out: Path,
    *,
    n_seeds: int = PAPER_SEEDS,
    configs: Sequence[Path] = (),
    settings: Sequence[str] = (),
) -> Plan:
    """Lay out the cells of some experiments; equal cells are shared.

    Args:
        experiments: Which.
        dataset: A prepared dataset.
        out: The folder; an earlier reproduction in it is continued.
        n_seeds: Seeds, from 0.
        configs: As for `read_entries`.
        settings: Options of all models; those of the section model are CIGF's alone.

    Raises:
        ConfigError: An option is not allowed.
    """
    there, missing = models_of(experiments)
    split = load_split(dataset)
    shared = [each for each in settings if not each.startswith("model.")]
    entries: dict[str, Entry] = {}
    for name in there:
        own = settings if name == CIGF else shared
        entries[name] = read_entries([name], _of(name, configs), own)[0]
    able, refused = usable(entries, split)
    rows: dict[str, dict[str, str]] = {}
    cells: dict[str, Entry] = {}
    for experiment in experiments:
        found = [(v.label, entry_of(v, able)) for v in experiment.variants if v.model in able]
        rows[experiment.name] = {entry.name: label for label, entry in found}
        cells |= {entry.name: entry for _, entry in found}
    left_out = {name: "It is not among the models of this version." for name in missing} | refused
    comparison = Comparison(dataset, out, list(cells.values()), range(n_seeds))
    return Plan(experiments, comparison, rows, left_out, bool(configs))


def _of(name: str, configs: Sequence[Path]) -> list[Path]:
    """Return the files and folders that say something of a model."""
    return [path for path in configs if not path.is_dir() or (path / f"{name}.toml").exists()]


def reproduce(made: Plan, *, jobs: int | None = None) -> Reproduction:
    """Make all parts from the cells that are finished."""
    comparison = made.comparison
    split = comparison.split
    train = split.train
    paper = published_data(train.n_users, train.n_items, train.behaviors.names)
    parts = []
    for experiment in made.experiments:
        context = Context(comparison, made.rows[experiment.name], paper)
        part = PARTS[experiment.kind](experiment, context)
        parts.append(replace(part, notes=experiment.notes))
    return Reproduction(
        data=comparison.dataset.name,
        parts=parts,
        protocol=notes_of(comparison),
        deviations=deviations(made, split, paper),
        facts=facts_of(comparison, comparison.results(), jobs),
    )


def deviations(made: Plan, split: Split, paper: PublishedData | None) -> list[tuple[str, str]]:
    """Return what differs from the paper: (heading, sentence)."""
    comparison = made.comparison
    found = [_data(split, paper)]
    if comparison.cells:
        found += [
            (
                "Selection.",
                "The paper's program prints test figures every third epoch and keeps the last; it "
                "has no validation pairs. Here validation pairs, taken from training, select the "
                "epoch, unless a model's file says otherwise.",
            ),
            (
                "Negatives.",
                "The paper draws the 99 anew at every evaluation, and the held-out item may be "
                "among them. Here they are drawn once, without it, the same for all; ties count "
                "against the model.",
            ),
        ]
        found += _training(made)
    found += [(f"Without {name}.", reason) for name, reason in made.left_out.items()]
    failed = [
        f"{cell.name}: {outcome.error}"
        for cell in comparison.cells
        if (outcome := cell.folder.outcome()) is not None and outcome.status == "failed"
    ]
    missing = sum(cell.folder.outcome() is None for cell in comparison.cells)
    if failed:
        found.append(("Failed runs.", "; ".join(failed)))
    if missing:
        found.append(("Unfinished runs.", f"{missing} of {len(comparison.cells)} have not ended."))
    return found


def _data(split: Split, paper: PublishedData | None) -> tuple[str, str]:
    names = ", ".join(split.train.behaviors.names)
    if paper is None:
        return (
            "Other data.",
            "By its numbers of users and items this is none of the paper's data sets, so no "
            "published figures stand beside ours.",
        )
    whole = "" if paper.is_whole else ", of which not all behaviors are here"
    return ("Data.", f"By its sizes this is the paper's {paper.name}{whole}: {names}.")


def _training(made: Plan) -> list[tuple[str, str]]:
    comparison = made.comparison
    found = []
    epochs = sorted({entry.config.training.epochs for entry in comparison.entries})
    if epochs != [PAPER_EPOCHS]:
        shown = ", ".join(map(str, epochs))
        found.append(("Epochs.", f"The paper trains {PAPER_EPOCHS}; here at most {shown}."))
    if len(comparison.seeds) != PAPER_SEEDS:
        n_seeds = len(comparison.seeds)
        found.append(
            ("Seeds.", f"The paper's figures are means of {PAPER_SEEDS} runs; {n_seeds} here.")
        )
    if not made.configured:
        found.append(
            (
                "Settings.",
                "Every model has its own authors' settings, not the protocol that the paper's "
                "baselines share: give --config experiments/matched for that.",
            )
        )
    sizes = {
        entry.name: entry.config.model.model_dump().get("embedding_size")
        for entry in comparison.entries
    }
    other = [name for name, size in sizes.items() if size not in (None, 16)]
    if other:
        found.append(("Dimension.", f"The paper's is 16; another one have: {', '.join(other)}."))
    return found
