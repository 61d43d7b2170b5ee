"""Names of an artifact's files, and where the artifact of a run is."""

from pathlib import Path

from cigf.errors import ArtifactError
from cigf.inference.manifest import MANIFEST

MODEL = "model.safetensors"
REPRESENTATIONS = "representations.safetensors"
FACTORS = "factors.safetensors"
MEMORY = "memory.safetensors"


def find_artifact(path: Path) -> Path:
    """Return the artifact folder that `path` names: itself, or the one of a run.

    Raises:
        ArtifactError: `path` is neither.
    """
    if (path / "artifact" / MANIFEST).is_file():
        return path / "artifact"
    if not path.exists():
        raise ArtifactError(f"{path}: no such folder; give the folder of a run or an artifact")
    if (path / "run.json").is_file():
        raise ArtifactError(f"{path}: this run has no artifact yet; finish it: train --resume")
    return path
