"""RecBole's LightGCN, an epoch at a time: run by the interpreter that has RecBole, not by ours.

    python rival_recbole.py FOLDER BATCH_SIZE EMBEDDING_SIZE N_LAYERS

FOLDER/pairs holds RecBole's files pairs.train.inter, pairs.valid.inter and pairs.test.inter. Every
line "epoch" on standard input trains one, and a line of JSON on standard output answers it. A line
"vectors" writes FOLDER/vectors.npz: the embeddings and what propagation makes of them.
"""

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch


def build(folder: Path, batch_size: int, embedding_size: int, n_layers: int) -> tuple[Any, Any]:
    """Return RecBole's trainer and its training batches."""
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import get_model, get_trainer, init_seed

    options = {
        "data_path": str(folder),
        "benchmark_filename": ["train", "valid", "test"],
        "load_col": {"inter": ["user_id", "item_id"]},
        "train_batch_size": batch_size,
        "embedding_size": embedding_size,
        "n_layers": n_layers,
        "use_gpu": False,
        "show_progress": False,
        "checkpoint_dir": str(folder / "saved"),
    }
    sys.argv = sys.argv[:1]  # RecBole reads them too
    config = Config(model="LightGCN", dataset="pairs", config_dict=options)
    init_seed(config["seed"], config["reproducibility"])
    batches, _, _ = data_preparation(config, create_dataset(config))
    model = get_model("LightGCN")(config, batches.dataset)
    return get_trainer(config["MODEL_TYPE"], "LightGCN")(config, model), batches


def epoch(trainer: Any, batches: Any, number: int) -> dict[str, float]:
    """Train an epoch; return seconds, the mean loss of its batches, its pairs, and threads."""
    start = time.perf_counter()
    total = trainer._train_epoch(batches, number, show_progress=False)
    return {
        "seconds": time.perf_counter() - start,
        "loss": float(total) / len(batches),
        "pairs": len(batches.dataset),
        "threads": torch.get_num_threads(),
    }


def vectors(model: Any, dataset: Any) -> dict[str, Any]:
    """Return the embeddings before and after propagation, and whose they are."""
    model.eval()
    with torch.no_grad():
        users, items = model.forward()
    tokens = (dataset.field2id_token[name] for name in ("user_id", "item_id"))
    of_users, of_items = (each[1:].astype(np.int64) for each in tokens)  # 0 is padding
    return {
        "users": of_users,
        "items": of_items,
        "user_embedding": model.user_embedding.weight.detach().numpy()[1:],
        "item_embedding": model.item_embedding.weight.detach().numpy()[1:],
        "user_vectors": users.numpy()[1:],
        "item_vectors": items.numpy()[1:],
    }


def main() -> None:
    """Answer line by line."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever RecBole prints is no answer
    logging.disable(logging.INFO)
    folder, *numbers = sys.argv[1:]
    trainer, batches = build(Path(folder), *map(int, numbers))
    done = 0
    for line in sys.stdin:
        answer: dict[str, Any] = {}
        if line.strip() == "epoch":
            answer = epoch(trainer, batches, done)
            done += 1
        else:
            np.savez(Path(folder) / "vectors.npz", **vectors(trainer.model, batches.dataset))
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
