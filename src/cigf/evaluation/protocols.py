"""Protocols: which rankings the counted ranks form, and how they become one value per user.

| protocol | a ranking holds | rankings per user |
| --- | --- | --- |
| full | all items the user has not seen, all her held-out items among them | 1 |
| 1+99 | one held-out item and its 99 stored candidates | one per held-out item, then averaged |

Numbers of different protocols or groups are different quantities, so both are part of the name:
"ndcg@10/full/new". The group "all" may be left out.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from cigf.data.tasks import GROUPS, PROTOCOLS, Group, Protocol, RankCounts
from cigf.errors import ConfigError, DataError, did_you_mean
from cigf.evaluation.metrics import Rankings, Values, measure

Means = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Mean values: protocol -> group -> metric."""


def check_protocols(protocols: Iterable[str]) -> tuple[Protocol, ...]:
    """Return the protocols.

    Raises:
        ConfigError: One is unknown, or there is none.
    """
    given = tuple(protocols)
    for name in given:
        if name not in PROTOCOLS:
            close = did_you_mean(name, PROTOCOLS)
            raise ConfigError(f"protocol {name!r} is not known{close} (protocols: full, 1+99)")
    if not given:
        raise ConfigError("protocols: none given; choose full, 1+99 or both")
    return tuple(known for known in PROTOCOLS if known in given)


def measure_users(
    counts: RankCounts,
    positions: NDArray[np.int64],
    n_users: int,
    protocol: Protocol,
    group: Group,
    metrics: Iterable[str],
) -> list[Values]:
    """Return each metric of each user under a protocol and within a group.

    Args:
        counts: The ranks of the held-out pairs.
        positions: The user of each pair, from 0 to n_users - 1, ascending.
        n_users: Number of users.
        protocol: The protocol.
        group: The group of pairs to look at.
        metrics: Full names of the metrics.

    Returns:
        For each metric one value per user, NaN for those without a pair in the group.
    """
    owners = positions[counts.members(group)]
    ranks = counts.ranks(protocol, group)
    if protocol == "full":
        offsets = np.searchsorted(owners, np.arange(n_users + 1))
        return [measure(Rankings(ranks, offsets), name) for name in metrics]
    rankings = Rankings(ranks, np.arange(len(ranks) + 1))
    n_rankings = np.bincount(owners, minlength=n_users).astype(np.float64)
    n_rankings[n_rankings == 0] = np.nan
    return [
        np.bincount(owners, weights=measure(rankings, name), minlength=n_users) / n_rankings
        for name in metrics
    ]


def lookup(means: Means, name: str) -> float:
    """Return one mean by its name: metric, protocol and, if not "all", group.

    Args:
        means: As `Evaluation.means` returns them.
        name: Such as "ndcg@10/1+99" or "hr@5/full/new".

    Raises:
        ConfigError: The name has another form, or was not measured.
        DataError: No pair of that group is held out, so there is nothing to look at.
    """
    metric, protocol, group = split_name(name)
    measured = means.get(protocol, {}).get(group, {})
    if metric not in measured:
        names = [f"{m}/{p}" for p, groups in means.items() for m in groups["all"]]
        raise ConfigError(
            f"metric {name!r} was not measured{did_you_mean(name, names)} "
            f"(measured: {', '.join(names)})"
        )
    if np.isnan(measured[metric]):
        raise DataError(f"metric {name!r} has no value: no {group} pair is held out")
    return measured[metric]


def split_name(name: str) -> tuple[str, Protocol, Group]:
    """Split "metric/protocol" or "metric/protocol/group" into its parts.

    Raises:
        ConfigError: It has another form.
    """
    metric, *rest = name.split("/")
    protocol, group = [*rest, "all"][:2] if rest else ("", "")
    for known_protocol in PROTOCOLS:
        for known_group in GROUPS:
            if (protocol, group) == (known_protocol, known_group) and len(rest) <= 2:
                return metric, known_protocol, known_group
    raise ConfigError(
        f"metric {name!r} must have the form metric/protocol or metric/protocol/group, "
        f"with protocol {' or '.join(PROTOCOLS)} and group {', '.join(GROUPS)}; "
        "such as ndcg@10/1+99"
    )
