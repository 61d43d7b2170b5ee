"""Pairs of a file, renumbered from 1 in another order than the file's."""

from pathlib import Path

import numpy as np


class Dataset:
    """Training pairs."""

    def __init__(self, config):
        folder = Path(config["data_path"]) / config["dataset"]
        parts = [
            (folder / f"pairs.{part}.inter").read_text().splitlines()
            for part in config["benchmark_filename"]
        ]
        assert {lines[0] for lines in parts} == {"user_id:token\titem_id:token"}
        assert all(len(lines) > 1 for lines in parts)
        pairs = [line.split("\t") for line in parts[0][1:]]
        self.field2id_token = {
            name: np.array(["[PAD]", *sorted({pair[at] for pair in pairs}, reverse=True)])
            for at, name in enumerate(("user_id", "item_id"))
        }
        users, items = (tokens.tolist() for tokens in self.field2id_token.values())
        self.pairs = [(users.index(user), items.index(item)) for user, item in pairs]

    def __len__(self):
        return len(self.pairs)


class Batches:
    """All batches of an epoch."""

    def __init__(self, config, dataset):
        self.dataset, self.size = dataset, config["train_batch_size"]

    def __len__(self):
        return -(-len(self.dataset) // self.size)


create_dataset = Dataset


def data_preparation(config, dataset):
    """Return training, validation and test."""
    return Batches(config, dataset), None, None
