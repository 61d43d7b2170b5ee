"""One seed, many independent generators, each found by its name.

A draw added in one place does not shift another, and a run resumed at epoch 17 draws what a
run never stopped would have drawn, because a generator is a function of (seed, name, counters).
"""

from hashlib import blake2b

import numpy as np


def derive_seed(seed: int, name: str, *counters: int) -> int:
    """Return a 63-bit seed that depends on all arguments, the same on every machine."""
    text = "/".join([str(seed), name, *map(str, counters)])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def numpy_generator(seed: int, name: str, *counters: int) -> np.random.Generator:
    """Return the NumPy generator of consumer `name` (and of its epoch, step, ...)."""
    return np.random.default_rng(derive_seed(seed, name, *counters))
