"""ItemIndex: candidates for a user's list among very many items, by faiss (extra `ann`).

A score is a ratio <a, b> / <p, q> of a user's (a, p) and an item's (b, q) vectors, and faiss knows
inner products and distances only. Over the users, <p, q> varies far less than over the items; so
an item's vector is divided by its mean denominator d = <mean p, q>, which leaves an inner product.
That becomes a Euclidean distance by one more coordinate, sqrt(M^2 - |x|^2) with M the longest
vector's length (Bachrach et al., RecSys 2014): cells of near items then hold what is to be found,
which those of large inner products do not. What is found is scored again exactly by whoever asks,
so an error here can only miss an item, never misplace one.

Axes: I items, E experts, D embedding size.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cigf.errors import ArtifactError, MissingExtraError
from cigf.inference.manifest import hash_file
from cigf.inference.opened import Factors, Floats
from cigf.inference.quick import UserFactors
from cigf.storage import new_folder

FOLDER = "index"
"""Of an artifact: where its index is, if it has one."""

_FILE, _ABOUT = "items.faiss", "index.json"
_FORMAT = "cigf-index"
_PER_CELL = 48
"""Items per cell that the cells' centers are learned from."""

_ROUNDS = 8
_TIMES = 2.0
_SEED = 20230430


@dataclass(frozen=True)
class About:
    """What an index says of itself.

    Args:
        artifact: Version of the artifact whose items it holds.
        behavior: The behavior whose scores it is for.
        mean_weights: The mean user's weights of the experts, shape (E,); None without gates.
        scale_weights: The mean over items of q / d, shape (E,); None without gates.
        length: To which users are scaled: twice the items' length finds most (measured).
        n_probes: Cells that are looked into.
        sha256: Hash of the file with the vectors.
        format: What kind of folder this is.
    """

    artifact: str
    behavior: str
    mean_weights: tuple[float, ...] | None
    scale_weights: tuple[float, ...] | None
    length: float
    n_probes: int
    sha256: str = ""
    format: str = _FORMAT


class ItemIndex:
    """Finds the items whose scores are about the largest.

    Args:
        index: Of faiss.
        about: What it is of.
    """

    def __init__(self, index: Any, about: About) -> None:
        self._index = index
        self.about = about

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def find(self, user: UserFactors, n: int) -> NDArray[np.int64]:
        """Return about the n best items of a user, in ascending order; there may be fewer."""
        _, rows = self._index.search(self.query(user)[None], min(n, len(self)))
        return np.sort(rows[0][rows[0] >= 0])

    def query(self, user: UserFactors) -> Floats:
        """Return the vector that is searched for a user, shape (width,)."""
        # The last coordinate, which evens the items' lengths out, is no user's.
        asked = _user_side(user, self.about)[: self._index.d - 1]
        padded = np.zeros(self._index.d, np.float32)
        longest = max(float(np.linalg.norm(asked)), 1e-30)
        padded[: len(asked)] = asked * np.float32(self.about.length / longest)
        return padded

    def write(self, path: Path) -> None:
        """Write the vectors as a file of faiss."""
        _faiss().write_index(self._index, str(path))

    def save(self, artifact: Path, *, force: bool = False) -> Path:
        """Write the index into an artifact's folder; return its own.

        Raises:
            OutputError: There is one, and `force` is off; or it cannot be written.
        """
        with new_folder(artifact / FOLDER, force=force) as folder:
            self.write(folder / _FILE)
            about = {**asdict(self.about), "sha256": hash_file(folder / _FILE)}
            (folder / _ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        return artifact / FOLDER


def build_index(
    factors: Factors, artifact: str, behavior: str, *, n_probes: int | None = None
) -> ItemIndex:
    """Sort all items into cells; takes a minute for a million.

    Args:
        factors: Those of the behavior.
        artifact: Version of the artifact.
        behavior: Its name.
        n_probes: Cells to look into; default: a share that found .98 and more of the best ten.

    Raises:
        MissingExtraError: faiss is not installed.
    """
    faiss = _faiss()
    mean, scale = _weights(factors)
    items = _item_side(factors, mean)
    n_cells = max(1, min(len(items) // _PER_CELL, 2 * round(len(items) ** 0.5)))
    width = items.shape[1]
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatL2(width),
        width,
        n_cells,
        faiss.ScalarQuantizer.QT_8bit,
        faiss.METRIC_L2,
        False,  # the vectors themselves, not what a center lacks of them
    )
    index.cp.niter, index.cp.seed, index.cp.max_points_per_centroid = _ROUNDS, _SEED, _PER_CELL
    index.train(_sample(items, n_cells * _PER_CELL))
    index.add(items)
    index.nprobe = n_probes or max(8, n_cells // 64)
    length = _TIMES * float(np.linalg.norm(items[:1]))
    return ItemIndex(index, About(artifact, behavior, mean, scale, length, int(index.nprobe)))


def load_index(artifact: Path, version: str) -> ItemIndex | None:
    """Read the index in an artifact's folder; None if there is none.

    Args:
        artifact: The folder of the artifact.
        version: Its version.

    Raises:
        ArtifactError: It is damaged, or of another artifact.
        MissingExtraError: faiss is not installed.
    """
    folder = artifact / FOLDER
    if not folder.is_dir():
        return None
    about = _read_about(folder / _ABOUT)
    if about.artifact != version:
        raise ArtifactError(
            f"{folder}: of another model ({about.artifact}, not {version}); "
            "build it again: cigf index RUN --force"
        )
    faiss = _faiss()
    if not (folder / _FILE).is_file() or hash_file(folder / _FILE) != about.sha256:
        raise ArtifactError(f"{folder / _FILE}: missing or altered: its sha256 is not the index's")
    index = faiss.read_index(str(folder / _FILE))
    index.nprobe = about.n_probes
    return ItemIndex(index, about)


def _read_about(path: Path) -> About:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        for name in ("mean_weights", "scale_weights"):
            values[name] = None if values[name] is None else tuple(values[name])
        about = About(**values)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{path}: not the description of an index: {error}") from None
    if about.format != _FORMAT:
        raise ArtifactError(f"{path}: not an index (format is not {_FORMAT!r})")
    return about


def _weights(factors: Factors) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    if factors.user_gates is None and factors.item_gates is None:
        return None, None
    n_experts = factors.items.shape[1]
    mean = np.ones(n_experts)
    if factors.user_gates is not None:
        mean = np.exp(_centered(factors.user_gates)).mean(axis=0)
    theirs = _item_weights(factors)
    scale = (theirs / (theirs @ mean)[:, None]).mean(axis=0)
    return tuple(map(float, mean)), tuple(map(float, scale))


def _item_weights(factors: Factors) -> Floats:
    if factors.item_gates is None:
        return np.ones(factors.items.shape[:2], np.float32)
    weights: Floats = np.exp(_centered(factors.item_gates))
    return weights


def _centered(gates: Floats) -> Floats:
    centered: Floats = gates - gates.max(axis=1, keepdims=True)
    return centered


def _item_side(factors: Factors, mean: tuple[float, ...] | None) -> Floats:
    """Return the items as vectors of one length, shape (I, E * D [+ 1 with a bias] + 1)."""
    vectors = np.asarray(factors.items, np.float32)
    if mean is not None:
        theirs = _item_weights(factors)
        share = theirs / (theirs @ np.asarray(mean, np.float32))[:, None]
        vectors = vectors * share[:, :, None]
    parts = [vectors.reshape(len(vectors), -1)]
    if factors.item_bias is not None:
        parts.append(factors.item_bias[:, None] / np.float32(factors.scale))
    squares = np.sum([(part * part).sum(axis=1) for part in parts], axis=0)
    parts.append(np.sqrt(np.maximum(squares.max(initial=0.0) - squares, 0.0))[:, None])
    return np.ascontiguousarray(np.concatenate(parts, axis=1), np.float32)


def _user_side(user: UserFactors, about: About) -> Floats:
    """Return a user as the vector whose inner products with the items' order them."""
    vectors, ratio = user.vectors, 1.0
    if user.gates is not None and about.scale_weights is not None:
        weights = np.exp(user.gates - user.gates.max())
        vectors = vectors * weights[:, None]
        ratio = float(weights @ np.asarray(about.scale_weights))
    # The coordinate of the bias: what the whole is divided by on average.
    return np.append(vectors.ravel(), np.float32(ratio)).astype(np.float32)


def _sample(items: Floats, n: int) -> Floats:
    generator = np.random.default_rng(_SEED)
    rows = generator.choice(len(items), min(n, len(items)), replace=False)
    return items[np.sort(rows)]


def _faiss() -> ModuleType:
    try:
        import faiss
    except ModuleNotFoundError:
        raise MissingExtraError("faiss", "ann", "an index of items") from None
    module: ModuleType = faiss
    return module
