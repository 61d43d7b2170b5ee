"""CIGF+: CIGF, the evidence of single pairs, and training on rehearsals.

Our own model, not a published one; `docs/models/cigf-plus.md` has its equations and measurements.
CIGCN and MESI stay its core. Terms are added that see pairs exactly, and all is learned from one
purchase per user that was hidden from everything: a touched item against what else she touched and
did not buy, a new one against a sample of all that is new, and which of the two it was.

Axes: U users, u of a batch, I items, s sampled items, B behaviors, m touched pairs.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn.functional import softplus

from cigf.config import ModelConfig
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.evidence import (
    Counting,
    Evidence,
    FeatureGroup,
    feature_groups,
    n_user_features,
)
from cigf.graph.lessons import Lesson
from cigf.graph.propagation import Normalization
from cigf.graph.rehearsals import NOTHING, rehearsals
from cigf.losses import log_sums, sampled_softmax
from cigf.models.base import EVERYONE, Recommender, Representations, Sections, Sizes, look_up
from cigf.models.cigf import CIGF, CIGFConfig
from cigf.nn.blocks import MESIBlock
from cigf.nn.heads import MESIHead
from cigf.nn.pair_terms import EMPTY, SMALLEST, PairTerms, Term
from cigf.ranking import Corrections, RelatedScorer, ScoreFactors, Scorer
from cigf.shapes import Batch

DEFAULTS: Sections = {
    "sampling": {
        "users_per_epoch": EVERYONE,
        "batch_size": 256,
        "positives_per_user": 1,
        "negatives_per_positive": 0,
    },
    "training": {
        "epochs": 10,
        "learning_rate": 1e-2,
        "schedule": "linear",
        "l2": 0.0,
        "metric": "ndcg@10/full",
        "evaluate_every": 2,
        "patience": 0,
    },
}
"""Chosen on purchases held out of Taobao-15K's training data."""

Floats = NDArray[np.float32]

Part = Literal[FeatureGroup, Term]
"""What can be left out; one list, so that an error names all of it."""


class CIGFPlusConfig(ModelConfig):
    """Hyperparameters of `CIGFPlus`."""

    embedding_size: PositiveInt = 16
    """Dimension D of an embedding."""
    n_layers: PositiveInt = 2
    """Layers L of CIGCN."""
    normalization: Normalization = "symmetric"
    """Weights of edges in CIGCN."""
    score_scale: PositiveFloat = 30.0
    """Factor of MESI's score in the other behaviors' losses."""
    auxiliary_weight: NonNegativeFloat = 0.3
    """Weight of each other behavior's loss, which is the core's alone."""
    n_neighbors: PositiveInt = 200
    """Most neighbors that an item keeps under each behavior."""
    user_power: NonNegativeFloat = 1.0
    """How much less a user of many items says of which items go together: n to minus this power."""
    n_coordinates: NonNegativeInt = 16
    """Coordinates of an item in the spectrum of who touched it, for the network."""
    n_rehearsals: PositiveInt = 4
    """How many times the training graph is made with a target interaction of each user hidden."""
    hidden_share: float = Field(default=1.0, gt=0, le=1)
    """Share of the users who hide one in a rehearsal."""
    n_sampled: PositiveInt = 512
    """Items that a step samples from the catalog, for all its users together."""
    hidden_size: PositiveInt = 64
    """Width of the two hidden layers of the networks for touched pairs."""
    n_networks: PositiveInt = 4
    """How many networks learn to rank touched pairs, each by itself; their mean score ranks."""
    without: tuple[Part, ...] = ()
    """Parts that are left out, to see what they bring: `behaviors`, `items`, `users`, `nearest`
    or `coordinates` of the network's features; `core`; a new item's `popularity` or
    `nearness`; what the `level` of a list depends on."""


class CIGFPlus(Recommender):
    """The core's score, plus exact terms; touched pairs have a network in place of the relations.

        new:      w MESI + <beta, log(1 + n_i)> + gamma log(eps + sum_kj w_kj (Y_k S_j)[u, i])
        touched:  level(user) + log softmax of network(features) over the user's open pairs

    The level says how likely the list is to hold the next purchase, the network which of it.
    The other behaviors are scored by the core alone.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Source of the initial weights.
    """

    def __init__(self, config: CIGFPlusConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        # Drawn before all weights, so that models of other sizes have the same rehearsals.
        self._seed = int(torch.randint(1 << 62, (), generator=generator))
        core = CIGFConfig(
            embedding_size=config.embedding_size,
            n_layers=config.n_layers,
            normalization=config.normalization,
            score_scale=config.score_scale,
        )
        self.core = CIGF(core, sizes, generator)
        groups = feature_groups(sizes.n_behaviors, config.n_coordinates)
        # With one behavior alone there is nothing that the core could learn from; see _target_loss.
        never: tuple[Part, ...] = ("core",) if sizes.n_behaviors == 1 else ()
        self.terms = PairTerms(
            sizes.n_behaviors,
            [group not in config.without for group, n in groups.items() for _ in range(n)],
            n_user_features(sizes.n_behaviors),
            config.hidden_size,
            config.n_networks,
            (*config.without, *never),
            generator,
        )

    @property
    def head(self) -> MESIHead:
        """The core's head."""
        return cast(MESIHead, self.core.head)

    def encode(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None = None
    ) -> Representations:
        """Run the core, and keep what the exact terms of the target's score need of the graph."""
        core = self.core.encode(graph, users)
        return Representations(core.users, core.items, self._kept(graph, users, core))

    def loss(self, representations: Representations, batch: Batch) -> Float[Tensor, "B"]:
        """The core's BPR of pairs: training is on lists, see `forward`."""
        return self.core.loss(representations, batch)

    def forward(self, graph: BehaviorGraph, batch: Batch) -> Float[Tensor, "B"]:
        """The core's losses of the other behaviors, and the target's of the users' hidden items.

        Which rehearsal and which sampled items are drawn from torch's global generator.
        """
        lessons = self._lessons(graph)
        lesson = lessons[int(torch.randint(len(lessons), ()))]
        sampled = torch.randint(graph.n_items, (self.config.n_sampled,)).to(graph.device)
        core = self.core.encode(lesson.graph, batch.users)
        block = MESIBlock(self.head, core.users, look_up(core.items, sampled))
        losses = [
            self._auxiliary_loss(lesson, batch, core, block, sampled, behavior)
            for behavior in range(graph.n_behaviors - 1)
        ]
        return torch.stack([*losses, self._target_loss(lesson, batch.users, core, sampled)])

    def scorer(self, representations: Representations, behavior: int) -> Scorer:
        """Factors, and for the target sparse products beside them."""
        users, items = representations.users, representations.items
        core = self.head.scorer(users, items, behavior)
        kept = representations.kept
        assert isinstance(core, ScoreFactors)
        n = users.shape[1]
        if behavior % n != n - 1:
            return core
        factors = ScoreFactors(
            core.users,
            core.items,
            core.user_gates,
            core.item_gates,
            kept["item_terms"],
            Corrections(kept["touched.offsets"], kept["touched.items"], kept["touched.terms"]),
            core.scale * self.terms.core_factor.item(),
        )
        return RelatedScorer(
            factors,
            [_matrix(kept, f"done.{k}", len(items)) for k in range(n)],
            [_matrix(kept, f"related.{k}", len(items)) for k in range(n)],
            self.terms.relation_weights.detach().cpu().numpy(),
            self.terms.gamma.item(),
            SMALLEST,
        )

    def regularized(self) -> list[nn.Parameter]:
        """Those of the core."""
        return self.core.regularized()

    def _core_pairs(
        self, core: Representations, rows: Tensor, items: Tensor, behavior: int
    ) -> Float[Tensor, "n"]:
        mine, theirs = look_up(core.users, rows), look_up(core.items, items)
        head = self.head
        return head.score(head.user_parts(mine), head.item_parts(theirs), behavior)

    def _target_loss(
        self,
        lesson: Lesson,
        users: Int[Tensor, "u"],
        core: Representations,
        sampled: Int[Tensor, "s"],
    ) -> Float[Tensor, ""]:
        # What is hidden now is there to be seen in other rehearsals: embeddings that learned it
        # would know it by heart when it is hidden again.
        core = Representations(core.users.detach(), core.items.detach())
        block = MESIBlock(self.head, core.users, look_up(core.items, sampled))
        counts, last = lesson.item_counts, len(lesson.item_counts[0]) - 1
        who = (lesson.hidden[users] != NOTHING).nonzero()[:, 0]
        chosen = users[who]
        hidden, is_new = lesson.hidden[chosen], lesson.is_new(chosen)
        known = lesson.knows(chosen, sampled)
        stand_for = lesson.n_unknown(chosen).clamp(min=1) / (~known).sum(1).clamp(min=1)
        others = (
            self.terms.core_factor * block.scores(last)[who]
            + self.terms.nearness(lesson.relations(chosen, sampled))
            + self.terms.popularity(counts[sampled])
            + stand_for.log()[:, None]
        ).masked_fill(known, -torch.inf)
        listed = lesson.listed(chosen)
        touched, own = (
            self.terms.in_list(listed.features),
            self.terms.in_list(listed.hidden_features),
        )
        owners = torch.cat([torch.arange(len(who), device=own.device), listed.owners])
        lists = torch.cat([own.masked_fill(is_new[:, None], -torch.inf), touched])
        each = torch.stack([log_sums(one, owners, len(who)) for one in lists.unbind(1)], 1)
        mass = log_sums(lists.detach().mean(1), owners, len(who))
        new = (
            self.terms.core_factor * self._core_pairs(core, who, hidden, last)
            + self.terms.popularity(counts[hidden])
            + self.terms.nearness(lesson.hidden_relations(chosen))
        )
        rest = torch.logaddexp(others.logsumexp(1), new.masked_fill(~is_new, -torch.inf))
        ahead = self.terms.level_of(lesson.user_features[chosen], mass) - rest.detach()
        which = softplus(torch.where(is_new, ahead, -ahead)) * mass.isfinite()
        losses = torch.where(is_new, rest - new, (each - own).mean(1)) + which
        return losses.sum() / max(1, len(losses))

    def _auxiliary_loss(
        self,
        lesson: Lesson,
        batch: Batch,
        core: Representations,
        block: MESIBlock,
        sampled: Int[Tensor, "s"],
        behavior: int,
    ) -> Float[Tensor, ""]:
        pairs = batch.pairs[behavior]
        known = lesson.has(batch.users, sampled, behavior)
        others = block.scores(behavior).masked_fill(known, -torch.inf)
        positives = self._core_pairs(core, pairs.rows, pairs.positives, behavior)
        loss = sampled_softmax(positives, look_up(others, pairs.rows))
        return self.config.auxiliary_weight * loss

    @property
    def _how(self) -> Counting:
        config = self.config
        return Counting(config.n_neighbors, config.user_power, config.n_coordinates)

    def _evidence(self, graph: BehaviorGraph) -> Evidence:
        """Return what the graph says of its pairs, counted once."""
        how = self._how
        known: dict[Counting, Evidence] = graph.derived.setdefault("evidence", {})
        if how not in known:
            known[how] = Evidence(graph, how)
        return known[how]

    def _lessons(self, graph: BehaviorGraph) -> list[Lesson]:
        """Return the rehearsals with their evidence, made once."""
        config = self.config
        how = self._how
        key = (how, config.n_rehearsals, config.hidden_share, self._seed)
        known: dict[object, list[Lesson]] = graph.derived.setdefault("lessons", {})
        if key not in known:
            generator = np.random.default_rng(self._seed)
            whole = self._evidence(graph)
            known[key] = [
                Lesson(each, Evidence(each.graph, how, whole))
                for each in rehearsals(graph, config.n_rehearsals, config.hidden_share, generator)
            ]
        return known[key]

    def _kept(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"] | None, core: Representations
    ) -> dict[str, Tensor]:
        """Return what the target's scorer needs besides vectors, for all users or some."""
        evidence = self._evidence(graph)
        rows = slice(None) if users is None else users.cpu().numpy()
        terms = csr_array(evidence.touched)
        terms.data = np.arange(terms.nnz)
        terms = csr_array(terms[rows])
        values = self._touched_terms(evidence, core, rows, terms)
        counts = torch.from_numpy(evidence.item_counts).to(graph.device)
        kept = {
            "item_terms": self.terms.popularity(counts),
            "touched.offsets": _tensor(terms.indptr, torch.int64, graph.device),
            "touched.items": _tensor(terms.indices, torch.int32, graph.device),
            "touched.terms": values,
        }
        for k, (done, related) in enumerate(zip(evidence.done, evidence.related, strict=True)):
            for name, matrix in ((f"done.{k}", csr_array(done[rows])), (f"related.{k}", related)):
                kept[f"{name}.offsets"] = _tensor(matrix.indptr, torch.int64)
                kept[f"{name}.items"] = _tensor(matrix.indices, torch.int32)
                kept[f"{name}.values"] = _tensor(matrix.data, torch.float32)
        return kept

    @torch.no_grad()
    def _touched_terms(
        self, evidence: Evidence, core: Representations, rows: Any, places: csr_array
    ) -> Float[Tensor, "n"]:
        """Compute how much the scores of some users' touched pairs are above those of new ones.

        Args:
            evidence: Of the whole graph.
            core: The core's vectors of these users.
            rows: Which users.
            places: The number of each of their pairs among all, (u, I).
        """
        device, last = core.items.device, core.items.shape[1] - 1
        owners = torch.from_numpy(np.repeat(np.arange(places.shape[0]), np.diff(places.indptr)))
        items, pairs = _tensor(places.indices, torch.int64), torch.from_numpy(places.data)
        counts = torch.from_numpy(evidence.item_counts)
        features, relations = map(torch.from_numpy, (evidence.features, evidence.relations))
        network, others = torch.empty(len(pairs)), torch.empty(len(pairs))
        for part in torch.split(torch.arange(len(pairs)), 1 << 16):
            network[part] = self.terms.in_list(features[pairs[part]].to(device)).mean(1).cpu()
            mine, theirs = owners[part].to(device), items[part].to(device)
            new = self.terms.core_factor * self._core_pairs(core, mine, theirs, last)
            new = new + self.terms.nearness(relations[pairs[part]].to(device))
            others[part] = (new + self.terms.popularity(counts[items[part]].to(device))).cpu()
        is_open = torch.from_numpy(evidence.is_open)[pairs]
        mass = log_sums(network[is_open], owners[is_open], places.shape[0])
        known = torch.from_numpy(evidence.user_features[rows])
        shift = self.terms.level_of(known.to(device), mass.to(device)).cpu() - mass.clamp(min=EMPTY)
        return ((network + shift[owners] - others) * is_open).to(device)


def _tensor(array: NDArray[Any], kind: torch.dtype, device: torch.device | str = "cpu") -> Tensor:
    return torch.from_numpy(array).to(device=device, dtype=kind)


def _matrix(kept: Mapping[str, Tensor], name: str, n_items: int) -> csr_array:
    parts = (kept[f"{name}.{part}"].cpu().numpy() for part in ("values", "items", "offsets"))
    values, items, offsets = parts
    return csr_array((values, items, offsets), shape=(len(offsets) - 1, n_items))
