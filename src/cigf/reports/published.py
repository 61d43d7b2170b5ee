"""What the paper reports (Guo et al., WWW 2023), to stand beside what is measured here.

HR@10 and NDCG@10 are among 99 sampled negatives with d = 16, means of 5 runs; the test pairs also
selected the epoch. Nothing here enters a computation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SIZES = {
    "Beibei": (21_716, 7_977),
    "Taobao": (147_894, 99_037),
    "IJCAI": (423_423, 874_328),
}
"""Users and items of the paper's data sets."""

BEHAVIORS = {"Beibei": 3, "Taobao": 4, "IJCAI": 4}

Figures = tuple[float, float] | None
"""HR@10 and NDCG@10; None where the paper has none."""

_NAMES = tuple(SIZES)

QUALITY: dict[str, tuple[Figures, Figures, Figures]] = {
    "dmf": ((0.597, 0.336), (0.305, 0.189), (0.392, 0.250)),
    "autorec": ((0.607, 0.341), (0.313, 0.190), (0.448, 0.287)),
    "ngcf": ((0.611, 0.375), (0.302, 0.185), (0.461, 0.292)),
    "lightgcn": ((0.643, 0.378), (0.373, 0.235), (0.443, 0.283)),
    "nmtr": ((0.613, 0.349), (0.332, 0.179), (0.481, 0.304)),
    "dipn": ((0.631, 0.394), (0.317, 0.178), (0.475, 0.296)),
    "matn": ((0.626, 0.385), (0.354, 0.209), (0.489, 0.309)),
    "ngcf-m": ((0.634, 0.372), (0.374, 0.221), (0.481, 0.307)),
    "lightgcn-m": ((0.651, 0.391), (0.391, 0.243), (0.486, 0.317)),
    "ghcf": ((0.608, 0.378), (0.415, 0.241), None),
    "mbgcn": ((0.642, 0.376), (0.369, 0.222), (0.463, 0.277)),
    "mb-gmn": ((0.691, 0.410), (0.491, 0.300), (0.532, 0.345)),
    "CIGF": ((0.700, 0.443), (0.592, 0.383), (0.601, 0.400)),
    "base model": ((0.649, 0.392), (0.444, 0.275), (0.457, 0.297)),
    "w/o CIGCN": ((0.660, 0.410), (0.460, 0.286), (0.495, 0.322)),
    "w/o MESI": ((0.662, 0.401), (0.528, 0.340), (0.573, 0.382)),
    "global": ((0.694, 0.438), (0.565, 0.361), (0.572, 0.373)),
    "node": ((0.698, 0.442), (0.561, 0.356), (0.587, 0.390)),
    "node+layer": ((0.698, 0.442), (0.564, 0.361), (0.590, 0.392)),
    "node+behavior": ((0.698, 0.441), (0.588, 0.379), (0.599, 0.398)),
    "shared bottom": ((0.605, 0.341), (0.389, 0.231), (0.485, 0.302)),
    "bilinear": ((0.662, 0.401), (0.528, 0.340), (0.573, 0.382)),
    "MMOE": ((0.663, 0.391), (0.541, 0.338), (0.546, 0.339)),
    "PLE": ((0.653, 0.381), (0.521, 0.320), (0.526, 0.325)),
}
"""By the label of a row, for Beibei, Taobao and IJCAI: tables 2 to 5."""

SECONDS: dict[str, tuple[Figures, Figures, Figures]] = {
    "ghcf": ((8.31, 9.88), (20.02, 34.48), None),
    "mb-gmn": ((14.95, 2.96), (27.03, 19.83), (79.25, 68.77)),
    "CIGF": ((10.37, 2.46), (16.78, 18.79), (61.60, 59.56)),
}
"""Seconds per training and per test epoch on the authors' GPU: tables 7 and 8."""

_ALIASES = {"node+behavior+layer": "CIGF", "MESI": "CIGF"}


@dataclass(frozen=True)
class PublishedData:
    """One of the paper's data sets.

    Args:
        name: Its name in the paper.
        is_whole: Whether all of its behaviors are there.
    """

    name: str
    is_whole: bool

    def quality(self, label: str) -> Figures:
        """Return what the paper reports for a row."""
        found = QUALITY.get(_ALIASES.get(label, label))
        return None if found is None else found[_NAMES.index(self.name)]

    def seconds(self, label: str) -> Figures:
        """Return the paper's seconds per training and test epoch."""
        found = SECONDS.get(label)
        return None if found is None else found[_NAMES.index(self.name)]


def published_data(n_users: int, n_items: int, behaviors: Sequence[str]) -> PublishedData | None:
    """Return which of the paper's data sets this is, by its sizes; None where it is another."""
    for name, sizes in SIZES.items():
        if sizes == (n_users, n_items):
            return PublishedData(name, len(behaviors) == BEHAVIORS[name])
    return None
