"""The loop: what a step is, when it stops, what it keeps, and that resuming is exact."""

import math

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import dropout

from cigf.errors import ArtifactError, DivergedError
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Representations, Sizes
from cigf.models.cigf import CIGF
from cigf.models.registry import build_model, parse_model_config
from cigf.sampling.config import SamplingConfig
from cigf.sampling.users import UserSampler
from cigf.testing.toy import random_matrices
from cigf.training.checkpoints import Checkpoints
from cigf.training.config import TrainingConfig
from cigf.training.events import Listener, Listeners
from cigf.training.trainer import Trainer

MATRICES = random_matrices(n_users=13, n_items=17)
METRIC = "ndcg@10/1+99"


class Recorder(Listener):
    """Keeps everything it hears; can interrupt at a given step."""

    def __init__(self, stop_at=None):
        self.heard, self.records, self.stop_at = [], [], stop_at

    def on_start(self, n_epochs, n_steps, epoch):
        self.heard.append(("start", n_epochs, n_steps, epoch))

    def on_step(self, epoch, step, n_pairs):
        self.heard.append(("step", epoch, step))
        if (epoch, step) == self.stop_at:
            raise KeyboardInterrupt

    def on_epoch(self, record):
        self.records.append(record)

    def on_end(self, reason):
        self.heard.append(("end", reason))


def fresh_model(**options):
    sizes = Sizes(13, 17, 3)
    return build_model("cigf", parse_model_config("cigf", options), sizes, 0)


def trainer(folder=None, validate=None, listener=None, fingerprint="f", seed=0, **options):
    sampling = SamplingConfig(users_per_epoch=12, batch_size=5, positives_per_user=4)
    defaults = {"epochs": 4, "learning_rate": 0.01, "evaluate_every": 1}
    return Trainer(
        TrainingConfig.parse({**defaults, **options}),
        ("view", "cart", "buy"),
        BehaviorGraph.build(MATRICES),
        UserSampler(MATRICES, sampling, 0),
        seed=seed,
        validate=validate,
        checkpoints=Checkpoints(folder, fingerprint) if folder else None,
        listener=listener,
    )


def scripted(values):
    remaining = iter(values)
    return lambda model: {METRIC: next(remaining)}


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one, two):
    return all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    "optimizer", ["adam", "adagrad", "sgd"]
)  # the decay of adamw is another thing
def test_the_l2_term_in_the_optimizer_is_the_loss_term(optimizer):
    inside, outside = fresh_model(), fresh_model()
    options = {"optimizer": optimizer, "epochs": 1, "l2": 0.3, "schedule": "constant"}
    trainer(**options).fit(inside)

    plain = trainer(**{**options, "l2": 0.0})
    original = outside.loss

    def with_term(representations, batch):
        term = 0.3 * sum((p**2).sum() for p in outside.regularized())
        return torch.cat([original(representations, batch), term[None]])

    outside.loss = with_term
    plain._behaviors = ("view", "cart", "buy", "l2")
    plain.fit(outside)
    for name, value in inside.state_dict().items():
        torch.testing.assert_close(outside.state_dict()[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("stop_at", [(1, 1), (1, 3), (2, 2), (4, 3)])
def test_stopped_and_resumed_equals_never_stopped(tmp_path, stop_at):
    straight = fresh_model()
    trainer(tmp_path / "straight").fit(straight)
    stopped = fresh_model()
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path / "run", listener=Recorder(stop_at)).fit(stopped)
    resumed, recorder = fresh_model(), Recorder()
    trainer(tmp_path / "run", listener=recorder).fit(resumed)
    assert equal(weights(straight), weights(resumed))
    assert recorder.heard[0] == ("start", 4, 3, stop_at[0] - 1)


def test_a_checkpoint_inside_an_epoch_resumes_there(tmp_path):
    straight, kept = fresh_model(), Recorder()
    trainer(listener=kept).fit(straight)
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path, listener=Recorder((2, 3)), checkpoint_seconds=1e-9).fit(fresh_model())
    resumed, recorder = fresh_model(), Recorder()
    trainer(tmp_path, listener=recorder, checkpoint_seconds=1e-9).fit(resumed)
    assert recorder.heard[1] == ("step", 2, 3)  # the step before it was saved
    assert equal(weights(straight), weights(resumed))
    assert recorder.records[0].losses == kept.records[1].losses
    assert recorder.records[0].pairs == kept.records[1].pairs


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    first, again, recorder = fresh_model(), fresh_model(), Recorder()
    trainer(tmp_path).fit(first)
    result = trainer(tmp_path, listener=recorder).fit(again)
    assert equal(weights(first), weights(again))
    assert result.epochs == 4
    assert not recorder.records


def test_early_stopping_restores_the_best_epoch(tmp_path):
    values = [0.1, 0.3, 0.2, 0.25, 0.9]
    model, recorder = fresh_model(), Recorder()
    job = trainer(tmp_path, scripted(values), recorder, epochs=9, patience=2, evaluate_every=1)
    result = job.fit(model)
    assert (result.epochs, result.selected_epoch) == (4, 2)
    assert result.reason == f"no better {METRIC} in 2 validations"
    assert [record.best for record in recorder.records] == [True, True, False, False]
    best = load_file(tmp_path / "best.safetensors")
    assert equal(
        weights(model), {name.removeprefix("model/"): value for name, value in best.items()}
    )
    last = load_file(tmp_path / "last.safetensors")
    assert not torch.equal(last["model/user_embedding"], best["model/user_embedding"])


def test_the_last_epoch_is_kept_when_asked(tmp_path):
    model = fresh_model()
    result = trainer(tmp_path, scripted([0.9, 0.1, 0.1, 0.1]), restore="last").fit(model)
    assert result.selected_epoch == 4
    last = load_file(tmp_path / "last.safetensors")
    assert torch.equal(model.user_embedding, last["model/user_embedding"])


def test_an_equal_metric_is_no_progress(tmp_path):
    result = trainer(tmp_path, scripted([0.5] * 4), patience=2).fit(fresh_model())
    assert (result.epochs, result.selected_epoch) == (3, 1)


def test_a_metric_that_is_nan_is_never_the_best(tmp_path):
    result = trainer(tmp_path, scripted([0.1, math.nan, 0.2, math.nan])).fit(fresh_model())
    assert result.selected_epoch == 3


def test_validation_happens_every_so_many_epochs(tmp_path):
    recorder = Recorder()
    trainer(tmp_path, scripted([0.1, 0.2]), recorder, evaluate_every=2).fit(fresh_model())
    assert [record.metrics is not None for record in recorder.records] == [False, True, False, True]


def test_a_loss_that_is_not_finite_keeps_the_last_good_checkpoint(tmp_path):
    class Poison(Recorder):
        def on_epoch(self, record):
            if record.epoch == 2:
                with torch.no_grad():
                    model.user_embedding[3] = math.nan

    model = fresh_model()
    with pytest.raises(DivergedError, match=r"the loss became nan in epoch 3; the last good"):
        trainer(tmp_path, listener=Poison()).fit(model)
    saved = load_file(tmp_path / "last.safetensors")
    assert saved["model/user_embedding"].isfinite().all()
    assert Checkpoints(tmp_path, "f").resume(fresh_model(), torch_adam()).epoch == 2


def torch_adam():
    from cigf.training.optimizers import build_optimizer

    return build_optimizer(fresh_model(), TrainingConfig())


def test_weights_that_are_not_finite_stop_the_run():
    class Poison(Recorder):
        def on_step(self, epoch, step, n_pairs):
            with torch.no_grad():
                model.head.gate_bias.fill_(math.inf)

    model = fresh_model()
    with pytest.raises(DivergedError, match=r"not? ?.*finite|loss became"):
        trainer(listener=Poison(), epochs=1).fit(model)


def test_an_exploding_loss_stops_the_run():
    class Poison(Recorder):
        def on_epoch(self, record):
            with torch.no_grad():
                model.item_embedding.mul_(-9.0)  # what was learned now ranks upside down

    model = fresh_model()
    with pytest.raises(DivergedError, match=r"the loss grew from .* in epoch 2; the last good"):
        trainer(listener=Poison(), divergence_factor=2.0).fit(model)


def test_sums_along_edges_can_read_half_precision():
    found = []
    for gathers in ("float32", "float16"):
        model, heard = fresh_model(), Recorder()
        trainer(gathers=gathers, listener=heard, epochs=2).fit(model)
        found.append([sum(record.losses.values()) for record in heard.records])
    assert found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=1e-3)


def test_gradients_are_clipped():
    free, clipped = fresh_model(), fresh_model()
    start = weights(free)
    trainer(epochs=1, optimizer="sgd", l2=0.0).fit(free)
    trainer(epochs=1, optimizer="sgd", l2=0.0, gradient_clip=1e-3).fit(clipped)

    def moved(model):
        return sum((value - start[name]).norm() ** 2 for name, value in weights(model).items())

    assert moved(clipped) < (3 * 0.01 * 1e-3) ** 2 * 1.01
    assert moved(free) > moved(clipped)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    trainer(tmp_path, epochs=1).fit(fresh_model())
    file = tmp_path / "last.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ArtifactError, match="not a readable checkpoint"):
        trainer(tmp_path).fit(fresh_model())


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    trainer(tmp_path, epochs=1).fit(fresh_model())
    with pytest.raises(ArtifactError, match="of other data or another configuration"):
        trainer(tmp_path, fingerprint="g").fit(fresh_model())


def test_records_hold_losses_pairs_and_rates():
    recorder = Recorder()
    trainer(listener=recorder, epochs=2, decay_steps=3, decay_rate=0.5).fit(fresh_model())
    first, second = recorder.records
    assert set(first.losses) == {"view", "cart", "buy"}
    assert first.loss == pytest.approx(sum(first.losses.values()))
    assert first.to_json()["loss"] == first.loss
    assert first.pairs > 0
    assert (first.learning_rate, second.learning_rate) == (0.01, 0.005)


def test_listeners_pass_everything_on():
    one, two = Recorder(), Recorder()
    trainer(listener=Listeners(one, two), epochs=1).fit(fresh_model())
    assert one.heard == two.heard
    assert one.records == two.records
    assert one.heard[-1] == ("end", "all 1 epochs done")


class Noisy(CIGF):
    """CIGF with dropout on what it encodes."""

    def encode(self, graph, users=None, items=None):
        encoded = super().encode(graph, users, items)
        users, items = (dropout(x, 0.5, self.training) for x in (encoded.users, encoded.items))
        return Representations(users, items)


def noisy_model():
    config = parse_model_config("cigf", {})
    return Noisy(config, Sizes(13, 17, 3), torch.Generator().manual_seed(0))


def test_dropout_is_a_function_of_the_step_and_leaves_the_callers_generator_alone(tmp_path):
    whole = noisy_model()
    before = torch.get_rng_state()
    trainer().fit(whole)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(17)  # of no effect on what the trainer draws
    stopped = noisy_model()
    with pytest.raises(KeyboardInterrupt):
        trainer(tmp_path, listener=Recorder((3, 1))).fit(stopped)
    resumed = noisy_model()
    trainer(tmp_path).fit(resumed)
    assert equal(weights(resumed), weights(whole))
    other = noisy_model()
    trainer(seed=1).fit(other)
    assert not equal(weights(other), weights(whole))
