"""Seconds per epoch of LightGCN beside RecBole's, by turns in the same run.

RecBole lives in an environment of its own, whose interpreter `--python` names. Both see the same
purchases, an epoch visits each once, and both have 64 dimensions, 3 layers, one negative per
purchase and batches of 2,048. At the end ours is given RecBole's embeddings, and has to make the
same vectors of them.
"""

import json
import statistics
import subprocess
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from benchmarks.common import Figure, Options, median_of, say
from cigf.data.dataset import Dataset, pair_rows
from cigf.data.splitting import Split
from cigf.experiment.config import ExperimentConfig
from cigf.experiment.training import fit_split
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Recommender
from cigf.training.events import EpochRecord, Listener

BATCH_SIZE, EMBEDDING_SIZE, N_LAYERS = 2048, 64, 3
MUST = 3.0
WARM_UP = 1
"""Epochs of each that do not count."""


class Rival:
    """RecBole in a process of its own, which does one thing at a time.

    Args:
        python: The interpreter that has RecBole.
        folder: Where the files between the two processes are.
    """

    def __init__(self, python: Path, folder: Path) -> None:
        program = Path(__file__).with_name("rival_recbole.py")
        sizes = [str(size) for size in (BATCH_SIZE, EMBEDDING_SIZE, N_LAYERS)]
        # Not resolved: an environment's interpreter is a link, and is told by its place.
        command = [str(python.absolute()), str(program.absolute()), str(folder), *sizes]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
        )

    def ask(self, wanted: str) -> dict[str, float]:
        """Have it do an "epoch", or write its "vectors"; return its answer."""
        say(f"recbole: {wanted}")
        stdin, stdout = _open(self._process.stdin), _open(self._process.stdout)
        with suppress(BrokenPipeError):  # it has ended, and there is no answer
            stdin.write(f"{wanted}\n")
            stdin.flush()
        line = stdout.readline()
        if not line:
            raise SystemExit(f"recbole: the process ended with code {self.close()}")
        answer: dict[str, float] = json.loads(line)
        return answer

    def close(self) -> int:
        """End the process, and return its code."""
        with suppress(BrokenPipeError):
            _open(self._process.stdin).close()
        code = self._process.wait()
        _open(self._process.stdout).close()
        return code


class ByTurns(Listener):
    """After each of our epochs, one of the rival's.

    Args:
        rival: RecBole.
    """

    def __init__(self, rival: Rival) -> None:
        self._rival = rival
        self.ours: list[float] = []
        self.theirs: list[dict[str, float]] = []

    def on_epoch(self, record: EpochRecord) -> None:
        """Note both."""
        self.ours.append(record.seconds)
        self.theirs.append(self._rival.ask("epoch"))


def run(options: Options) -> list[Figure]:
    """Measure both."""
    if options.python is None:
        raise SystemExit("recbole: name the interpreter that has RecBole with --python")
    split = options.split()
    learned = split.history("test")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        write_pairs(learned, folder / "pairs")
        with closing(Rival(options.python, folder)) as rival:
            heard = ByTurns(rival)
            model = train(split, options.repeats, folder, heard)
            rival.ask("vectors")
        difference = vector_difference(model, learned, folder / "vectors.npz")
    ours = heard.ours[WARM_UP:]
    theirs = [each["seconds"] for each in heard.theirs[WARM_UP:]]
    times = statistics.median(theirs) / statistics.median(ours)
    return [
        median_of("epoch, median", ours, "s"),
        median_of("RecBole's epoch, median", theirs, "s"),
        Figure("times quicker", times, digits=1, must=MUST, at_least=True),
        Figure("pairs of an epoch", float(learned.target.nnz), digits=0),
        Figure("RecBole's pairs", heard.theirs[0]["pairs"], digits=0),
        Figure("RecBole's threads", heard.theirs[0]["threads"], digits=0),
        Figure("relative difference of the vectors", difference, digits=8),
    ]


def train(split: Split, repeats: int, folder: Path, heard: Listener) -> Recommender:
    """Train ours on all training purchases."""
    config = ExperimentConfig.parse(
        {
            "model": {
                "name": "lightgcn",
                "embedding_size": EMBEDDING_SIZE,
                "n_layers": N_LAYERS,
            },
            "data": {"train_on": "all"},
            "sampling": {"unit": "interactions", "batch_size": BATCH_SIZE},
            "training": {"epochs": WARM_UP + repeats, "evaluate_every": 0},
        }
    )
    return fit_split(split, config, folder / "checkpoints", device="cpu", listener=heard).model


def write_pairs(learned: Dataset, folder: Path) -> None:
    """Write RecBole's files; those of validation and test, which it wants too, have one pair."""
    folder.mkdir()
    users, items = pair_rows(learned.target).tolist(), learned.target.indices.tolist()
    lines = [f"{user}\t{item}\n" for user, item in zip(users, items, strict=True)]
    for part, chosen in (("train", lines), ("valid", lines[:1]), ("test", lines[:1])):
        text = "user_id:token\titem_id:token\n" + "".join(chosen)
        (folder / f"pairs.{part}.inter").write_text(text)


@torch.no_grad()
def vector_difference(model: Any, learned: Dataset, vectors: Path) -> float:
    """Return how far our propagation of RecBole's embeddings is from its own, relatively."""
    with np.load(vectors) as stored:
        theirs = {name: torch.from_numpy(stored[name]) for name in stored.files}
    for side in ("user", "item"):
        table = getattr(model, f"{side}_embedding")
        table.zero_()
        table[theirs[f"{side}s"]] = theirs[f"{side}_embedding"]
    ours = model.encode(BehaviorGraph.build(learned.interactions))
    difference = 0.0
    for found, side in ((ours.users, "user"), (ours.items, "item")):
        wanted = theirs[f"{side}_vectors"]
        mine = found[theirs[f"{side}s"], 0]
        torch.testing.assert_close(mine, wanted, rtol=1e-3, atol=1e-6)
        difference = max(difference, float((mine - wanted).norm() / wanted.norm()))
    return difference


def _open(stream: IO[str] | None) -> IO[str]:
    assert stream is not None  # both are pipes
    return stream
