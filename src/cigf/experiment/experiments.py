"""The paper's experiments: which models with which options each of them compares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cigf.data.splitting import Split
from cigf.errors import ConfigError, did_you_mean
from cigf.experiment.entries import Entry, check_entries
from cigf.models.registry import MODELS, parse_model_config

Kind = Literal[
    "quality", "relations", "seconds", "activity", "groups", "gates", "overlaps", "gradients"
]
"""What is shown of the trained models, or of the data."""

CIGF = "cigf"


@dataclass(frozen=True)
class Variant:
    """A row of an experiment.

    Args:
        label: What it is called, as in `cigf.reports.published` where the paper has it.
        model: Name in the registry.
        options: Options of the model, over its settings.
    """

    label: str
    model: str = CIGF
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """A table or figure.

    Args:
        name: On the command line.
        title: Its heading.
        kind: What is shown.
        variants: The rows.
        notes: What differs from the paper, or how it is meant.
    """

    name: str
    title: str
    kind: Kind
    variants: tuple[Variant, ...] = ()
    notes: tuple[str, ...] = ()


_BASELINES = (
    *("dmf", "autorec", "ngcf", "lightgcn", "nmtr", "dipn", "matn"),
    *("ngcf-m", "lightgcn-m", "ghcf", "mbgcn", "mb-gmn"),
)
_ATTENTION = ("global", "node", "node+layer", "node+behavior", "node+behavior+layer")
_HEADS = {"mesi": "MESI", "mmoe": "MMOE", "ple": "PLE"}
_ALL_HEADS = {"shared-bottom": "shared bottom", "bilinear": "bilinear", **_HEADS}
_INPUT = (
    "Heads with one input are fed the average of the behaviors' representations, as the paper "
    "says; the published program feeds their sum."
)


def _heads(labels: Mapping[str, str]) -> tuple[Variant, ...]:
    return tuple(Variant(label, CIGF, {"head": head}) for head, label in labels.items())


EXPERIMENTS: dict[str, Experiment] = {
    each.name: each
    for each in (
        Experiment(
            "table-2",
            "Table 2: all models",
            "quality",
            (*(Variant(name, name) for name in _BASELINES), Variant("CIGF")),
            (
                "The paper copies the figures of DMF, AutoRec, NGCF, NMTR, DIPN, MATN, MBGCN and "
                "MB-GMN from the MB-GMN paper, whose own code for them was never published.",
            ),
        ),
        Experiment(
            "table-3",
            "Table 3: components",
            "quality",
            (
                Variant("base model", CIGF, {"chain": "independent", "head": "bilinear"}),
                Variant("w/o CIGCN", CIGF, {"chain": "independent"}),
                Variant("w/o MESI", CIGF, {"head": "bilinear"}),
                Variant("CIGF"),
            ),
            (_INPUT,),
        ),
        Experiment(
            "table-4",
            "Table 4: what the attention depends on",
            "quality",
            tuple(Variant(name, CIGF, {"attention": name}) for name in _ATTENTION),
        ),
        Experiment(
            "table-5",
            "Table 5: multi-task heads",
            "quality",
            _heads(_ALL_HEADS),
            (
                _INPUT,
                "The paper's shared bottom is one linear layer, whose ranking is the same for "
                "every user: it has learned popularity.",
            ),
        ),
        Experiment(
            "table-6",
            "Table 6: relations by attention weight",
            "relations",
            (Variant("L = 3", CIGF, {"n_layers": 3}),),
            (
                "Weights are means over all users, then over the seeds. Three layers, so that "
                "there are relations of order 2 and 3.",
            ),
        ),
        Experiment(
            "tables-7-8",
            "Tables 7 and 8: seconds per epoch",
            "seconds",
            (Variant("ghcf", "ghcf"), Variant("mb-gmn", "mb-gmn"), Variant("CIGF")),
            (
                "The paper's seconds are of a GPU. A training epoch of the matched protocol has "
                "10,000 users; a test epoch here ranks all test pairs under both protocols.",
            ),
        ),
        Experiment("figure-2", "Figure 2: interactions per user and behavior", "activity"),
        Experiment(
            "figure-6",
            "Figure 6: aggregators",
            "quality",
            tuple(
                Variant(name, CIGF, {"aggregator": name})
                for name in ("lightgcn", "lr-gccf", "gcn", "ngcf")
            ),
        ),
        Experiment(
            "figure-7",
            "Figure 7: number of layers L",
            "quality",
            tuple(Variant(f"L = {n}", CIGF, {"n_layers": n}) for n in range(1, 6)),
        ),
        Experiment(
            "figure-8",
            "Figure 8: users by how their behaviors correlate",
            "groups",
            (
                *(Variant(name, name) for name in ("lightgcn-m", "ghcf", "mbgcn", "mb-gmn")),
                Variant("CIGF"),
            ),
            (
                "Six groups by the mean correlation between a user's behaviors, with about the "
                "same number of interactions per user in each.",
            ),
        ),
        Experiment(
            "figure-9",
            "Figure 9: how much the experts are used",
            "gates",
            _heads(_HEADS),
            ("Weights of the target task's gate, as a mean over the test pairs.",),
        ),
        Experiment("figure-10", "Figure 10: which behaviors go together", "overlaps"),
        Experiment(
            "gradient-conflicts",
            "Section 3.3: do the behaviors' gradients conflict?",
            "gradients",
            _heads(_ALL_HEADS),
            (
                "Cosine between the gradients of two behaviors' losses on the same input of the "
                "head, of the trained model on one batch; negative: they pull apart.",
                _INPUT,
            ),
        ),
    )
}


def choose(names: Sequence[str]) -> list[Experiment]:
    """Return the experiments of some names; "all" stands for all.

    Raises:
        ConfigError: There is no such experiment; names the closest.
    """
    for name in names:
        if name not in (*EXPERIMENTS, "all"):
            raise ConfigError(
                f"experiment {name!r} is unknown{did_you_mean(name, EXPERIMENTS)} "
                f"(experiments: {', '.join(EXPERIMENTS)}, all)"
            )
    return [each for each in EXPERIMENTS.values() if "all" in names or each.name in names]


def entry_of(variant: Variant, bases: Mapping[str, Entry]) -> Entry:
    """Return the row of a comparison that a variant is; the same options give the same row.

    Args:
        variant: The variant.
        bases: Each model with its settings.
    """
    base = bases[variant.model]
    before = base.config.model.model_dump(mode="json")
    changed = {name: value for name, value in variant.options.items() if before[name] != value}
    name = ",".join([variant.model, *(f"{key}={value}" for key, value in changed.items())])
    model = parse_model_config(variant.model, {**before, **changed})
    return Entry(name, replace(base.config, model=model))


def models_of(experiments: Sequence[Experiment]) -> tuple[list[str], list[str]]:
    """Return the models that experiments need, parted by whether they are there."""
    named = dict.fromkeys(v.model for each in experiments for v in each.variants)
    return [n for n in named if n in MODELS], [n for n in named if n not in MODELS]


def usable(entries: Mapping[str, Entry], split: Split) -> tuple[dict[str, Entry], dict[str, str]]:
    """Part the models that can take the data from those that cannot, with the reason."""
    able, refused = {}, {}
    for name, entry in entries.items():
        try:
            check_entries([entry], split)
            able[name] = entry
        except ConfigError as error:
            refused[name] = str(error)
    return able, refused
