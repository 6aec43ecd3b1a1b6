"""The sections of a job file on its checkpoints and its workers."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from ardm.config import MOST_SHARDS, Count, Section, Shards


def _one_fault(expected: str, *choices: str) -> WrapValidator:
    """One fault for the field, instead of one for each kind of value that it may have."""

    def check(value: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        try:
            return inner(value)
        except ValidationError as error:
            context = {"expected": ", ".join(choices)}
            raise PydanticCustomError("choice", f"Expected {expected}", context) from error

    return WrapValidator(check)


_LONGEST = 1e9
"""Seconds, thirty years: as good as never, and no thread can wait much longer."""


class CheckpointConfig(Section):
    """When checkpoints are written and which of them are kept."""

    interval: Annotated[
        Annotated[float, Field(ge=0.0, le=_LONGEST, allow_inf_nan=False)] | Literal["auto"],
        _one_fault("seconds (0 or more, at most 1e9) or 'auto'", "'auto'"),
    ] = 30.0
    """Seconds between the starts of two saves; `auto` chooses them while the run goes on, from what
    saves cost and how often the run is interrupted (`ardm.checkpoint.save_interval`)."""
    keep_last: Count = 3
    """Newest checkpoints that are kept."""
    keep_every: Count | None = None
    """Save at every multiple of this many steps, and keep that checkpoint for good."""


class ScalingConfig(Section):
    """The workers that share a step."""

    workers: Annotated[
        # The wrapped check gets a list, which is no tuple to a strict one.
        Shards | Annotated[tuple[Shards, Shards], Field(strict=False)],
        _one_fault(
            f"a number of workers (1 or more, at most {MOST_SHARDS}), or the fewest and the most, "
            "as in [1, 4]"
        ),
    ] = 1
    """How many there are; of `[fewest, most]` as many as the cluster has room for."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Device of a worker; `auto` takes GPUs where the cluster has them."""
    max_attempts_without_progress: Count = 3
    """Attempts in a row that may end without notice before they have saved anything new."""
    price_per_worker_hour: Annotated[float, Field(ge=0.0, le=1e9)] | None = None
    warm_spares: bool = True
    """Keep a process beside each worker of a Ray cluster that has imported everything, to take its
    place; it costs some hundred MB of memory, and some more where it has loaded a step's programs,
    as the spare of a run's only worker does on CPU."""

    @property
    def fewest(self) -> int:
        """Workers below which the run waits."""
        return self.workers if isinstance(self.workers, int) else min(self.workers)

    @property
    def most(self) -> int:
        """Workers above which the run does not grow."""
        return self.workers if isinstance(self.workers, int) else max(self.workers)

    def sizes(self, grad_shards: int) -> list[int]:
        """The sizes that the group may have, each of which divides the shards."""
        return [n for n in range(self.fewest, self.most + 1) if grad_shards % n == 0]
