"""Models: the loaded models by name, replaced all at once."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock

from cigf.errors import UnknownIdError, did_you_mean
from cigf.service.memory import give_back
from cigf.service.model import ServedModel


class Models:
    """The models that a service answers from.

    Whoever took one keeps it: a reload replaces the table, not the models.

    Args:
        paths: Run or artifact folders by name; the first is the default.

    Raises:
        ArtifactError: One of them is none, or damaged.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = dict(paths)
        self._reloading = Lock()
        self._loaded = self._load()

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._loaded.values())

    def get(self, name: str | None) -> ServedModel:
        """Return a model by name; None: the first.

        Raises:
            UnknownIdError: There is none of that name.
        """
        if name is None:
            return next(iter(self._loaded.values()))
        found = self._loaded.get(name)
        if found is None:
            raise UnknownIdError(
                f"there is no such model{did_you_mean(name, self._loaded)}; "
                f"there are {', '.join(self._loaded)}"
            )
        return found

    def reload(self) -> list[ServedModel]:
        """Load all anew from their folders, and put them in place at once; one reload at a time.

        Raises:
            ArtifactError: One of them cannot be loaded; all stay as they are.
        """
        with self._reloading:
            loaded = self._load()
            # What is loaded late at the start is loaded now: nobody waits, and errors are seen.
            for model in loaded.values():
                model.torch.get()
            self._loaded = loaded
            give_back()
            return list(self._loaded.values())

    def _load(self) -> dict[str, ServedModel]:
        return {name: ServedModel.load(name, path) for name, path in self._paths.items()}
