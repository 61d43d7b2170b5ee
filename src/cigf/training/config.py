"""Options of the training loop."""

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from cigf.config import Config

OptimizerName = Literal["adam", "adamw", "adagrad", "sgd"]
ScheduleName = Literal["constant", "staircase", "cosine", "linear"]


class TrainingConfig(Config):
    """How a model is trained; the defaults select the best epoch on the validation pairs."""

    epochs: PositiveInt = 100
    """Most epochs."""
    optimizer: OptimizerName = "adam"
    """adam, adamw (its decay is decoupled: the L2 term is then not the loss's), adagrad or sgd."""
    learning_rate: PositiveFloat = 1e-3
    """Highest learning rate."""
    schedule: ScheduleName = "staircase"
    """Learning rate over the steps: constant, staircase, or a cosine or line down to
    `final_learning_rate` at the last epoch."""
    decay_rate: float = Field(default=0.96, gt=0, le=1)
    """Factor of each stair."""
    decay_steps: PositiveInt = 39
    """Steps of each stair."""
    warmup_steps: NonNegativeInt = 0
    """Steps over which the learning rate rises linearly from 0 (any schedule)."""
    final_learning_rate: NonNegativeFloat = 0.0
    """Where cosine and linear end, as a share of `learning_rate`."""
    l2: NonNegativeFloat = 0.01
    """Weight lambda of the sum of squares of the model's regularized parameters (eq. 17)."""
    gathers: Literal["float32", "float16"] = "float32"
    """Precision of the vectors that sums along edges read; float16 (for cigf, in compiled kernels)
    rounds them to 11 bits, sums in float32, and takes less time where cores wait for memory."""
    gradient_clip: NonNegativeFloat = 0.0
    """Largest norm of the whole gradient; 0 does not clip."""
    metric: str = "ndcg@10/1+99"
    """Validation metric that selects the epoch: NAME@K/PROTOCOL[/all|touched|new]."""
    evaluate_every: NonNegativeInt = 3
    """Epochs between validations; 0 never validates."""
    patience: NonNegativeInt = 5
    """Validations without a better metric after which training stops; 0 never stops early."""
    restore: Literal["best", "last"] = "best"
    """Which epoch's weights are kept (last, where nothing is validated)."""
    checkpoint_seconds: NonNegativeFloat = 60.0
    """Also write a checkpoint inside an epoch after so many seconds; epochs always end with one."""
    divergence_factor: PositiveFloat = 100.0
    """An epoch's loss above so many times the first epoch's stops the run."""
