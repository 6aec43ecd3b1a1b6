"""The `training` and `evaluation` sections of a job file."""

from typing import Literal

from pydantic import model_validator as check

from ardm.config import Count, CountOrZero, Fraction, PositiveReal, RealOrZero, Section, Shards


class TrainingConfig(Section):
    """How the parameters are optimized."""

    steps: Count = 20000
    """Training steps in all."""
    batch_size: Count = 64
    """Images per step, over all workers."""
    grad_shards: Shards = 4
    """Gradient shards per step, a power of two. Every worker count that divides it gives the same
    bits."""
    optimizer: Literal["adam", "muon"] = "adam"
    """Muon orthogonalizes the updates of matrices and convolutions. It needs fewer steps than Adam,
    but each takes longer."""
    learning_rate: PositiveReal = 1e-3
    """Learning rate after the warm-up; a cosine begins with it."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """After the warm-up: hold the learning rate, or let it fall along a cosine."""
    final_learning_rate: RealOrZero = 0.0
    """Learning rate at the end of the cosine."""
    warmup: CountOrZero = 100
    """Steps of linear warm-up from zero."""
    weight_decay: RealOrZero = 0.0
    """Decoupled weight decay, times the learning rate. It applies to the kernels between the
    first and the last layer."""
    clip: PositiveReal | None = 1.0
    """Global norm to which gradients are clipped; null turns clipping off."""
    ema: Fraction = 0.999
    """Decay of the parameter average; at a step it is `min(ema, (1 + step) / (10 + step))`."""
    t_sampling: Literal["uniform", "antithetic", "importance"] = "antithetic"
    """How the generation steps of a batch are drawn: `uniform`, independently; `antithetic`, evenly
    spaced; `importance`, spaced by a density that follows the size of the gradients, with
    weights that keep the loss unbiased."""
    ce_weight: RealOrZero = 0.0
    """Weight of the cross-entropy term that is added to the NELBO."""
    on_nonfinite: Literal["stop", "skip"] = "stop"
    """What happens at a loss, gradient or new state that is not finite: `stop` ends the job, `skip`
    leaves the step out."""

    @check(mode="after")
    def _fits(self) -> "TrainingConfig":
        faults = []
        if self.grad_shards & (self.grad_shards - 1):
            faults.append(f"grad_shards: must be a power of two, got {self.grad_shards}")
        if self.batch_size % self.grad_shards:
            faults.append(
                f"batch_size: {self.batch_size} examples cannot be split into "
                f"grad_shards={self.grad_shards} equal shards"
            )
        if self.warmup > self.steps:
            faults.append(f"warmup: {self.warmup} is more than steps={self.steps}")
        if self.final_learning_rate > self.learning_rate:
            faults.append(
                f"final_learning_rate: {self.final_learning_rate} is more than "
                f"learning_rate={self.learning_rate}"
            )
        if self.final_learning_rate and self.schedule == "constant":
            faults.append(
                f"final_learning_rate: {self.final_learning_rate} has no effect with "
                "schedule: constant; leave it out, or choose cosine"
            )
        if faults:
            raise ValueError("\n".join(faults))
        return self


class EvaluationConfig(Section):
    """What is measured and drawn while training."""

    every: Count = 1000
    """Steps between evaluations; one more follows the last step."""
    first: Count | None = None
    """Training step of one additional early evaluation; null for none."""
    images: Count = 1000
    """Number of validation images of an evaluation."""
    final_images: Count | None = None
    """Number of test images of the evaluation after the last step; null for all."""
    passes: Count = 1
    """Number of times that each image is evaluated, each time with another order and t."""
    samples: CountOrZero = 16
    """Number of images that are generated at each evaluation."""
    sample_steps: Count = 100
    """Number of network calls that generate these images, by a uniform policy."""

    def due(self, step: int) -> bool:
        """Whether an evaluation follows a step that is not the last one."""
        return step % self.every == 0 or step == self.first
