"""Published data sets by name: where they are, what they hold, and on what terms.

Where a file's content is known, its checksum stands beside it, so that a changed or damaged file
is never taken for the published one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cigf.errors import DataError, did_you_mean

MB_GMN = "https://raw.githubusercontent.com/akaxlh/MB-GMN/HEAD/Datasets/"
CIGF = "https://raw.githubusercontent.com/MC-CV/CIGF/HEAD/Datasets/"
"""HEAD is the default branch, whatever its name."""

AUTHORS_TERMS = (
    "published by the authors of MB-GMN (SIGIR 2021) and CIGF (WWW 2023) with their code, without "
    "a license of its own: use it for research, cite the papers, and do not pass it on"
)
TIANCHI_TERMS = (
    "published by Alibaba on Tianchi, behind a login: its terms on the page apply to you "
    "(research, not commerce); do not pass it on"
)


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server.

    Args:
        name: What it is called on disk.
        url: Where it is.
        checksum: `git:<sha-1 of the git blob>` or `sha256:<...>`; None: not known.
    """

    name: str
    url: str
    checksum: str | None = None


@dataclass(frozen=True)
class Published:
    """A published data set.

    Args:
        name: What to call it on the command line.
        title: One line on what it is.
        layout: How it is read: mbgmn, taobao or ijcai15.
        behaviors: Its behaviors in funnel order, the target last.
        page: Where a person finds it.
        terms: On what terms it may be used.
        files: What to download; none: it stands behind a login.
        by_hand: Name of the file to get from `page`, where it stands behind a login.
    """

    name: str
    title: str
    layout: str
    behaviors: tuple[str, ...]
    page: str
    terms: str
    files: tuple[RemoteFile, ...] = ()
    by_hand: str = ""


_BEIBEI = Published(
    name="beibei",
    title="Beibei as in MB-GMN and CIGF: 21,716 users, 7,977 items, 3.3 million pairs",
    layout="mbgmn",
    behaviors=("pv", "cart", "buy"),
    page="https://github.com/akaxlh/MB-GMN/tree/HEAD/Datasets/beibei",
    terms=AUTHORS_TERMS,
    files=(
        RemoteFile("trn_pv", MB_GMN + "beibei/trn_pv"),
        RemoteFile(
            "trn_cart",
            MB_GMN + "beibei/trn_cart",
            "git:ac24e60a98c8eb41599845419a08edbe83cd3d3a",
        ),
        RemoteFile(
            "trn_buy", MB_GMN + "beibei/trn_buy", "git:1061c66593f4f2d615063a782e468abe9f641614"
        ),
        RemoteFile(
            "tst_int", MB_GMN + "beibei/tst_int", "git:df9a70b889eb1d4d4af222f6265dcacdc57b176a"
        ),
    ),
)

_TMALL = Published(
    name="tmall",
    title="Tmall (Taobao) as in MB-GMN and CIGF: 147,894 users, 99,037 items, 7.7 million pairs",
    layout="mbgmn",
    behaviors=("pv", "fav", "cart", "buy"),
    page="https://github.com/akaxlh/MB-GMN/tree/HEAD/Datasets/Tmall",
    terms=AUTHORS_TERMS,
    files=(
        # MB-GMN has the views as an archive in six parts; CIGF's repository has them whole.
        RemoteFile("trn_pv", CIGF + "Tmall/trn_pv"),
        RemoteFile("trn_fav", MB_GMN + "Tmall/trn_fav"),
        RemoteFile("trn_cart", MB_GMN + "Tmall/trn_cart"),
        RemoteFile("trn_buy", MB_GMN + "Tmall/trn_buy"),
        RemoteFile("tst_int", MB_GMN + "Tmall/tst_int"),
    ),
)

_TAOBAO = Published(
    name="taobao",
    title="User Behavior Data from Taobao: the whole log, 1 million users, 100 million events",
    layout="taobao",
    behaviors=("view", "fav", "cart", "buy"),
    page="https://tianchi.aliyun.com/dataset/649",
    terms=TIANCHI_TERMS,
    by_hand="UserBehavior.csv.zip",
)

_IJCAI15 = Published(
    name="ijcai15",
    title="IJCAI-15 repeat buyers (Tmall): the whole log, 424,000 users, 55 million events",
    layout="ijcai15",
    behaviors=("view", "fav", "cart", "buy"),
    page="https://tianchi.aliyun.com/dataset/42",
    terms=TIANCHI_TERMS,
    by_hand="data_format1.zip",
)

CATALOG: Mapping[str, Published] = {
    entry.name: entry for entry in (_BEIBEI, _TMALL, _TAOBAO, _IJCAI15)
}
"""Every data set that `cigf data fetch` knows."""


def find_published(name: str) -> Published:
    """Return the catalog's entry of that name.

    Raises:
        DataError: There is none.
    """
    if name not in CATALOG:
        raise DataError(
            f"data set {name!r} is not in the catalog{did_you_mean(name, CATALOG)} "
            f"({', '.join(CATALOG)})"
        )
    return CATALOG[name]
