"""A model that propagates by a dense matrix, and a trainer that does nothing."""

import torch


class LightGCN(torch.nn.Module):
    """LightGCN with padding rows, as RecBole has them."""

    def __init__(self, config, dataset):
        super().__init__()
        users, items = (len(tokens) for tokens in dataset.field2id_token.values())
        self.sizes, self.n_layers = [users, items], config["n_layers"]
        self.user_embedding = torch.nn.Embedding(users, config["embedding_size"])
        self.item_embedding = torch.nn.Embedding(items, config["embedding_size"])
        links = torch.zeros(users + items, users + items)
        for user, item in dataset.pairs:
            links[user, users + item] = links[users + item, user] = 1.0
        scale = links.sum(1).clamp(min=1.0).rsqrt()
        self.step = scale[:, None] * links * scale

    def forward(self):
        layers = [torch.cat([self.user_embedding.weight, self.item_embedding.weight])]
        for _ in range(self.n_layers):
            layers.append(self.step @ layers[-1])
        return torch.stack(layers).mean(0).split(self.sizes)


class Trainer:
    """Answers as RecBole's does: with the sum of the batches' losses."""

    def __init__(self, config, model):
        self.model = model

    def _train_epoch(self, batches, number, *, show_progress):
        print("not an answer")
        return 0.5 * len(batches)


def init_seed(seed, reproducibility):
    """Seed."""
    torch.manual_seed(seed)


def get_model(name):
    """Return a class by name."""
    return {"LightGCN": LightGCN}[name]


def get_trainer(model_type, name):
    """Return a class by type and name."""
    return {("general", "LightGCN"): Trainer}[model_type, name]
