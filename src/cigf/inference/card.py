"""The model card of an artifact: what a person should know before using it."""

from cigf.inference.manifest import Manifest

_CARD = """# {model}: recommendations for {n_users:,} users and {n_items:,} items

| | |
| --- | --- |
| predicts | {target} |
| learned from | {behaviors} |
| data fingerprint | {dataset} |
| written by | {versions} |

## Hyperparameters

{config}

## Training

{metadata}

## Use

    cigf recommend FOLDER --user ID --k 10

It knows the users and items of its training data only, and what they did until then. It learned
from what people were shown and did, so it repeats the exposure bias of that log. Judge it with
`cigf evaluate`, separately for items a user has touched before and for new ones.
"""


def model_card(manifest: Manifest) -> str:
    """Return the card as Markdown; equal manifests give equal cards."""
    return _CARD.format(
        model=manifest.model,
        n_users=manifest.n_users,
        n_items=manifest.n_items,
        target=manifest.behaviors[-1],
        behaviors=", ".join(manifest.behaviors),
        dataset=manifest.dataset,
        versions=", ".join(f"{name} {v}" for name, v in sorted(manifest.versions.items())),
        config=_bullets(manifest.config),
        metadata=_bullets(manifest.metadata),
    )


def _bullets(values: dict[str, object]) -> str:
    return "\n".join(f"- {name}: {values[name]}" for name in sorted(values)) or "- none recorded"
