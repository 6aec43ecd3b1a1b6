"""The job file's sections `checkpoint`, `scaling` and `limits`, and the entries of `notify`."""

import re
import shlex
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from ardm.config import FROZEN, MOST_SHARDS, Count, Section, Shards


def _one_fault(expected: str, *choices: str) -> WrapValidator:
    """Report one fault for a field, instead of one for each type that its value may have."""

    def check(value: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        try:
            return inner(value)
        except ValidationError as error:
            context = {"expected": ", ".join(choices)}
            raise PydanticCustomError("choice", f"Expected {expected}", context) from error

    return WrapValidator(check)


_LONGEST = 1e9
"""Longest interval between saves (seconds): thirty years, and no thread can wait much longer."""


class CheckpointConfig(Section):
    """When checkpoints are written and which of them are kept."""

    interval: Annotated[
        Annotated[float, Field(ge=0.0, le=_LONGEST, allow_inf_nan=False)] | Literal["auto"],
        _one_fault("seconds (0 or more, at most 1e9) or 'auto'", "'auto'"),
    ] = 30.0
    """Seconds between the starts of two saves; `auto` adapts them during the run to the cost of a
    save and to the rate of interruptions (`ardm.checkpoint.save_interval`)."""
    keep_last: Count = 3
    """Number of newest checkpoints that are kept."""
    keep_every: Count | None = None
    """Save at every multiple of this many steps, and keep these checkpoints for good."""


class ScalingConfig(Section):
    """The workers that share the work of a step."""

    workers: Annotated[
        # Not strict: the wrapped check gets a list, which strict validation refuses for a tuple.
        Shards | Annotated[tuple[Shards, Shards], Field(strict=False)],
        _one_fault(
            f"a number of workers (1 or more, at most {MOST_SHARDS}), or the fewest and the most, "
            "as in [1, 4]"
        ),
    ] = 1
    """Number of workers; with `[fewest, most]` as many as the cluster has room for."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Device of a worker; `auto` takes GPUs where the cluster has them."""
    max_attempts_without_progress: Count = 3
    """The run fails after this many attempts in a row that ended without notice and without a new
    save."""
    price_per_worker_hour: Annotated[float, Field(ge=0.0, le=1e9)] | None = None
    """Price of a worker for an hour, in any currency, for `ardm report` and `limits.cost`."""
    warm_spares: bool = True
    """Keep beside each worker of a Ray cluster a process that has imported everything, to replace
    the worker. It takes some hundred MB of memory, and more if it has loaded a step's programs, as
    the spare of a run's only worker does on CPU."""

    @property
    def fewest(self) -> int:
        """Smallest number of workers: with fewer the run waits."""
        return self.workers if isinstance(self.workers, int) else min(self.workers)

    @property
    def most(self) -> int:
        """Largest number of workers."""
        return self.workers if isinstance(self.workers, int) else max(self.workers)

    def sizes(self, grad_shards: int) -> list[int]:
        """The numbers of workers that are allowed: those that divide the shards, ascending."""
        return [n for n in range(self.fewest, self.most + 1) if grad_shards % n == 0]


class LimitsConfig(Section):
    """When a run ends before its last step. It saves and ends, and its job fails with the reason.

    Both limits count all attempts of the run, and no time between them.
    """

    hours: Annotated[float, Field(gt=0.0, le=1e6)] | None = None
    """Hours that attempts may take, added up."""
    cost: Annotated[float, Field(gt=0.0, le=1e9)] | None = None
    """Cost of the hours of all workers, by `scaling.price_per_worker_hour`."""


_PROGRAM = re.compile(r"(?![\w-]+(\.[\w-]+)+/)[^:=]+$")
"""A program or a path to one; not a variable, nor an address without its https://."""


def is_target(text: str) -> bool:
    """Whether alerts can go to this URL or command."""
    if not text.strip() or not text.isprintable():
        return False
    scheme, colon, _ = text.partition("://")
    try:
        if colon and " " not in scheme:
            return scheme in ("http", "https") and bool(urlsplit(text).hostname)
        return _PROGRAM.match(shlex.split(text)[0]) is not None
    except (ValueError, IndexError):  # brackets or quotes that are not closed
        return False


def _target(text: str, info: ValidationInfo) -> str:
    if not is_target(text) and info.context != FROZEN:
        raise PydanticCustomError(
            "target",
            "Expected a URL that begins with https:// and names a host, or a command that begins "
            "with a program (`./dir.d/program`, `env NAME=value program`) and closes its quotes",
        )
    return text


Target = Annotated[str, Field(min_length=1, max_length=4000), AfterValidator(_target)]
"""Where alerts go: a web hook (a URL), or a command that gets them on its standard input."""
