"""The models by name: a literal table, the only place where a string becomes a model class."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from cigf.config import Config, ModelConfig
from cigf.data.dataset import Dataset
from cigf.errors import ConfigError, did_you_mean
from cigf.models import (
    autorec,
    cigf_plus,
    dipn,
    direct,
    dmf,
    ease,
    ghcf,
    ials,
    lightgcn,
    matn,
    mbgcn,
    ngcf,
    nmtr,
)
from cigf.models.autorec import AutoRec, AutoRecConfig
from cigf.models.base import Recommender, Sections, Sizes
from cigf.models.bpr_mf import BPRMF, BPRMFConfig
from cigf.models.cigf import CIGF, CIGFConfig
from cigf.models.cigf_plus import CIGFPlus, CIGFPlusConfig
from cigf.models.dipn import DIPN, DIPNConfig
from cigf.models.dmf import DMF, DMFConfig
from cigf.models.ease import EASE, EASEConfig
from cigf.models.ghcf import GHCF, GHCFConfig
from cigf.models.graph_options import check_weights
from cigf.models.ials import IALS, IALSConfig
from cigf.models.implicit_factors import check_installed
from cigf.models.item_knn import ItemKNN, ItemKNNConfig
from cigf.models.lightgcn import LightGCN, LightGCNConfig, LightGCNMultiConfig
from cigf.models.matn import MATN, MATNConfig
from cigf.models.mb_gmn import MBGMN, MBGMNConfig
from cigf.models.mbgcn import MBGCN, MBGCNConfig
from cigf.models.ngcf import NGCF, NGCFConfig, NGCFMultiConfig
from cigf.models.nmtr import NMTR, NMTRConfig
from cigf.models.popularity import Popularity, PopularityConfig
from cigf.models.several import check_several
from cigf.models.touched_first import (
    TouchedFirst,
    TouchedFirstConfig,
    TouchedFirstConversionConfig,
)


@dataclass(frozen=True)
class ModelEntry:
    """What the rest of the program knows of a model.

    Args:
        config: The class of its options.
        build: Its constructor: options, sizes and the source of the initial weights.
        defaults: Options of the sections [sampling] and [training] as its authors set them,
            where they differ from the general ones: section -> option -> value.
        check: Raises ConfigError where the model, with these options, cannot take a dataset.
        fixed: From the model's options to those of the sections [sampling] and [training] that
            its loss would be wrong without, in the form of `defaults`.
        needs_negatives: Whether its loss sets positives against sampled negatives; with options
            that fix their number at 0 it does not.
    """

    config: type[ModelConfig]
    build: Callable[[Any, Sizes, torch.Generator], Recommender]
    defaults: Sections = field(default_factory=dict)
    check: Callable[[Any, Dataset], None] | None = None
    fixed: Callable[[Any], Sections] | None = None
    needs_negatives: bool = True


_direct = partial(ModelEntry, defaults=direct.DEFAULTS, needs_negatives=False)

MODELS: dict[str, ModelEntry] = {
    "cigf": ModelEntry(CIGFConfig, CIGF),
    "cigf-plus": ModelEntry(CIGFPlusConfig, CIGFPlus, cigf_plus.DEFAULTS, needs_negatives=False),
    "popularity": _direct(PopularityConfig, Popularity),
    "touched-first": _direct(TouchedFirstConfig, TouchedFirst, check=check_several),
    "touched-first-conversion": _direct(
        TouchedFirstConversionConfig, TouchedFirst, check=check_several
    ),
    "item-knn": _direct(ItemKNNConfig, ItemKNN, check=direct.check_weights),
    "ease": _direct(EASEConfig, EASE, check=ease.check),
    "ials": _direct(IALSConfig, IALS, check=ials.check),
    "bpr-mf": _direct(BPRMFConfig, BPRMF, check=check_installed),
    "dmf": ModelEntry(DMFConfig, DMF, dmf.DEFAULTS),
    "autorec": ModelEntry(AutoRecConfig, AutoRec, autorec.DEFAULTS, fixed=autorec.whole_rows),
    "ngcf": ModelEntry(NGCFConfig, NGCF, ngcf.DEFAULTS, check_weights),
    "ngcf-m": ModelEntry(NGCFMultiConfig, NGCF, ngcf.DEFAULTS, check_weights),
    "lightgcn": ModelEntry(LightGCNConfig, LightGCN, lightgcn.DEFAULTS, check_weights),
    "lightgcn-m": ModelEntry(LightGCNMultiConfig, LightGCN, lightgcn.DEFAULTS, check_weights),
    "ghcf": ModelEntry(GHCFConfig, GHCF, ghcf.DEFAULTS, ghcf.check, ghcf.whole_users),
    "mbgcn": ModelEntry(MBGCNConfig, MBGCN, mbgcn.DEFAULTS, check_several),
    "mb-gmn": ModelEntry(MBGMNConfig, MBGMN, check=check_several),
    "dipn": ModelEntry(DIPNConfig, DIPN, dipn.DEFAULTS, dipn.check),
    "matn": ModelEntry(MATNConfig, MATN, matn.DEFAULTS, check_several),
    "nmtr": ModelEntry(NMTRConfig, NMTR, nmtr.DEFAULTS, nmtr.check),
}


def model_entry(name: str) -> ModelEntry:
    """Return the entry of a model.

    Raises:
        ConfigError: There is no such model; names the closest.
    """
    if name not in MODELS:
        raise ConfigError(
            f"model {name!r} is unknown{did_you_mean(name, MODELS)} (models: {', '.join(MODELS)})"
        )
    return MODELS[name]


def parse_model_config(name: str, values: Mapping[str, Any]) -> Config:
    """Check a model's options.

    Raises:
        ConfigError: The model or one of the options is unknown, or a value is out of range.
    """
    return model_entry(name).config.parse(values, section="model")


def fixed_options(name: str, config: Config) -> Sections:
    """Return the options of the sampler and the loop that the model, so configured, needs."""
    fixed = model_entry(name).fixed
    return fixed(config) if fixed is not None else {}


def needs_negatives(name: str, config: Config) -> bool:
    """Tell whether the loss of the model, so configured, needs sampled negatives."""
    fixed = fixed_options(name, config).get("sampling", {})
    return model_entry(name).needs_negatives and fixed.get("negatives_per_positive") != 0


def check_model(name: str, config: Config, dataset: Dataset) -> None:
    """Refuse a dataset that the model cannot take, before any training.

    Raises:
        ConfigError: It cannot; says why.
    """
    check = model_entry(name).check
    if check is not None:
        check(config, dataset)


def build_model(name: str, config: Config, sizes: Sizes, seed: int) -> Recommender:
    """Build a model with freshly drawn weights; the same seed gives the same bits."""
    generator = torch.Generator().manual_seed(seed)
    return model_entry(name).build(config, sizes, generator)
