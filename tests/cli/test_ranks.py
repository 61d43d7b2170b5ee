"""Which runs the processes of a launcher go on with when they are started again."""

import polars as pl
import pytest

from cigf.cli.ranks import Team
from cigf.cli.recommend import _shared
from cigf.distributed.exchange import Ranks
from cigf.experiment.folder import RunFolder


class OneRank(Ranks):
    """All that is asked of several, answered by one."""

    def gather(self, *own):
        return own

    def reduce(self, table):
        return table

    def abandon(self):
        pass


@pytest.fixture
def begun(tmp_path):
    RunFolder(tmp_path).write_info({"status": "training", "launcher": "mine@here:17"})
    return tmp_path


@pytest.mark.parametrize(
    ("restarted", "launcher", "goes_on"),
    [
        (True, "mine@here:17", True),
        (False, "mine@here:17", False),  # an old run, and a launcher with the old one's number
        (True, "mine@here:18", False),  # somebody else's run, which must not be written into
    ],
)
def test_only_what_the_same_launcher_began_is_gone_on_with(begun, restarted, launcher, goes_on):
    assert Team(OneRank(0, 1), launcher, restarted).goes_on(begun) is goes_on


def test_a_run_that_was_not_begun_is_not_gone_on_with(tmp_path):
    assert not Team(OneRank(0, 1), "mine@here:17", True).goes_on(tmp_path / "run")


def test_a_process_alone_is_told_to_resume_by_its_user(begun):
    assert not Team(None, "mine@here:17", True).goes_on(begun)


class OneOfTwo(OneRank):
    """Hears what the other has said before."""

    def __init__(self, rank, said):
        super().__init__(rank, 2)
        self.said = said

    def everyone(self, data):
        self.said.append(data)
        return self.said[::-1]


def test_ids_that_are_text_in_one_share_are_text_in_all():
    def answer(users):
        ids = users if "x" in users else list(map(int, users))
        return pl.DataFrame({"user_id": ids})

    said = []
    assert _shared(Team(OneOfTwo(1, said)), ["203", "207", "x"], answer).is_empty()
    found = _shared(Team(OneOfTwo(0, said)), ["203", "207", "x"], answer)
    assert found["user_id"].to_list() == ["203", "207", "x"]
