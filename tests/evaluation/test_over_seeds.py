import numpy as np
import polars as pl
import pytest

from cigf.data.tasks import RankCounts
from cigf.errors import ArtifactError
from cigf.evaluation.evaluator import Evaluation, measure_counts
from cigf.evaluation.over_seeds import (
    Measured,
    against_best,
    load_counts,
    over_seeds,
    save_counts,
)
from cigf.evaluation.significance import holm, paired_bootstrap, wilcoxon

HR = ("full", "all", "hr@10")
NEW = ("full", "new", "hr@10")
N_USERS = 41


def evaluation(*columns):
    ids = pl.Series("user_id", range(len(columns[0])))
    return Evaluation(ids, {"all": 5}, (HR, NEW), np.stack(columns, axis=1))


def measured(values, new=None):
    new = np.full(len(values), np.nan) if new is None else new
    per_user = np.stack([values, new], axis=1)
    return Measured((HR, NEW), {}, np.array([[values.mean(), new.mean()]]), per_user)


@pytest.fixture
def models():
    generator = np.random.default_rng(2)
    users = generator.random((3, N_USERS))
    return {"low": measured(users[0] - 0.3), "high": measured(users[1]), "mid": measured(users[2])}


def test_means_and_deviations_are_those_over_seeds():
    nan = np.nan
    first = evaluation(np.array([0.0, 1.0, 0.0]), np.array([nan, 1.0, 0.0]))
    second = evaluation(np.array([1.0, 1.0, 0.0]), np.array([nan, 0.0, 0.0]))
    found = over_seeds([first, second])
    assert found.mean(HR) == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert found.deviation(HR) == pytest.approx(np.std([1 / 3, 2 / 3], ddof=1))
    assert found.users(HR).tolist() == [0.5, 1.0, 0.0]
    np.testing.assert_array_equal(found.users(NEW), [nan, 0.5, 0.0])
    assert found.mean(NEW) == 0.25
    assert over_seeds([first]).deviation(HR) is None


def test_every_model_is_compared_with_the_best(models):
    found = against_best(models, [HR], np.random.default_rng(5), n_bootstrap=99)
    assert [(each.best, each.model) for each in found] == [("high", "low"), ("high", "mid")]
    for each in found:
        one, best = models[each.model].users(HR), models["high"].users(HR)
        alone = paired_bootstrap(one, best, np.random.default_rng(5), n_bootstrap=99)
        assert (each.difference, each.p_bootstrap) == pytest.approx(
            (alone.difference, alone.p_value)
        )
        assert (each.low, each.high) == pytest.approx((alone.low, alone.high), rel=1e-5)
        assert each.p_wilcoxon == wilcoxon(one, best)
    for test in ("bootstrap", "wilcoxon"):
        raw = [getattr(each, f"p_{test}") for each in found]
        assert [getattr(each, f"holm_{test}") for each in found] == holm(raw)


def test_only_candidates_can_be_the_best(models):
    found = against_best(
        models, [HR], np.random.default_rng(5), candidates=["low", "mid"], n_bootstrap=9
    )
    assert {each.best for each in found} == {"mid"}
    assert [each.model for each in found] == ["low", "high"]
    assert found[1].difference > 0


@pytest.mark.parametrize("n_seeds", [6, 7, 10])
def test_a_model_does_not_differ_from_itself_with_more_seeds(n_seeds):
    values = 1 / np.log2(np.random.default_rng(3).integers(2, 12, N_USERS))
    nothing = np.full(N_USERS, np.nan)
    once, often = (over_seeds([evaluation(values, nothing)] * n) for n in (1, n_seeds))
    assert (once.users(HR) != often.users(HR)).any()
    found = against_best({"once": once, "often": often}, [HR], np.random.default_rng(5))[0]
    assert (found.difference, found.p_bootstrap, found.p_wilcoxon) == (0.0, 1.0, 1.0)


def test_figures_without_pairs_are_left_out(models):
    assert against_best(models, [NEW], np.random.default_rng(5), n_bootstrap=9) == []


def test_one_model_has_nothing_to_be_compared_with(models):
    one = {"high": models["high"]}
    assert against_best(one, [HR], np.random.default_rng(5), n_bootstrap=9) == []


@pytest.mark.parametrize("sampled", [True, False])
def test_stored_ranks_measure_the_same(tmp_path, sampled):
    generator = np.random.default_rng(3)
    touched = generator.random(7) < 0.5
    n_arrays = 4 if sampled else 2
    counts = RankCounts(touched, *generator.integers(0, 30, (n_arrays, 7)))
    save_counts(counts, tmp_path / "ranks.parquet")
    again = load_counts(tmp_path / "ranks.parquet")
    ids = pl.Series("user_id", range(5))
    positions = np.array([0, 1, 1, 2, 3, 4, 4])
    protocols = ("full", "1+99") if sampled else ("full",)
    tables = [
        measure_counts(each, positions, ids, protocols, ("hr@10", "ndcg@5")).values
        for each in (counts, again)
    ]
    np.testing.assert_array_equal(*tables)
    assert again.is_touched.dtype == bool


def test_ranks_are_read_from_a_folder_with_a_pattern_s_marks_in_its_name(tmp_path):
    (tmp_path / "runs[1]").mkdir()
    counts = RankCounts(np.array([True, False]), np.array([3, 5]), np.array([2, 1]))
    save_counts(counts, tmp_path / "runs[1]" / "ranks.parquet")
    assert load_counts(tmp_path / "runs[1]" / "ranks.parquet").full_all.tolist() == [3, 5]


def test_a_damaged_file_of_ranks_is_refused(tmp_path):
    (tmp_path / "ranks.parquet").write_bytes(b"PAR1")
    with pytest.raises(ArtifactError, match=r"ranks\.parquet: not a readable file of ranks"):
        load_counts(tmp_path / "ranks.parquet")
    with pytest.raises(ArtifactError, match="not a readable file of ranks"):
        load_counts(tmp_path / "nowhere.parquet")
