"""Where to compute."""

import torch

from cigf.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """Return the device that "auto", "cpu" or "cuda" stands for.

    Raises:
        ConfigError: The name is another, or there is no such device.
    """
    available = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if available else "cpu")
    if name not in ("cpu", "cuda"):
        raise ConfigError(f"device {name!r} is unknown; devices are auto, cpu and cuda")
    if name == "cuda" and not available:
        raise ConfigError("device cuda: no GPU is usable here; use --device cpu")
    return torch.device(name)
