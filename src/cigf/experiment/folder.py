"""RunFolder: the files of one run.

run.json          dataset, versions, how it ended
config.toml       the resolved configuration
metrics.jsonl     one line per epoch
tensorboard/      the same for TensorBoard, where that was asked for
checkpoints/      to resume from
artifact/         the trained model
evaluation.json   what `evaluate` wrote last
"""

import json
import shutil
from pathlib import Path
from typing import Any

from cigf.errors import ArtifactError
from cigf.storage import new_file, real_folder, refuse_existing, write_json
from cigf.training.events import EpochRecord, Listener


class RunFolder:
    """Names and small files of a run.

    Args:
        path: The run's folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.toml"

    @property
    def metrics(self) -> Path:
        """One JSON line per epoch."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def artifact(self) -> Path:
        """Folder of the trained model."""
        return self.path / "artifact"

    @property
    def evaluation(self) -> Path:
        """The last evaluation."""
        return self.path / "evaluation.json"

    def begin(self, *, force: bool) -> None:
        """Create the folder, empty.

        Raises:
            OutputError: It exists and `force` is off, or it may never be replaced.
        """
        refuse_existing(self.path, force)
        folder = real_folder(self.path)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)

    def write_info(self, info: dict[str, Any]) -> None:
        """Write run.json."""
        write_json(self.path / "run.json", info)

    def read_info(self) -> dict[str, Any]:
        """Read run.json.

        Raises:
            ArtifactError: The folder is not a run, or the file is damaged.
        """
        path = self.path / "run.json"
        try:
            info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ArtifactError(
                f"{self.path}: not the folder of a run (no run.json); train one with: cigf train"
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ArtifactError(f"{path}: damaged ({error})") from None
        return info


class MetricsFile(Listener):
    """Appends every epoch to metrics.jsonl; lines of epochs that are run again are dropped.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_start(self, n_epochs: int, n_steps: int, epoch: int) -> None:
        """Keep the first `epoch` lines of an earlier part of the run."""
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        with new_file(self._path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in lines[:epoch]), encoding="utf-8")

    def on_epoch(self, record: EpochRecord) -> None:
        """Append a line."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record.to_json()) + "\n")
