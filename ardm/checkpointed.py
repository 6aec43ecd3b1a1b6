"""The model of a checkpoint, with its data and its policies."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from ardm.checkpoint.kept_policies import PULLED, KeptPolicies
from ardm.checkpoint.pull import evaluations
from ardm.data.alphabet import Alphabet
from ardm.data.config import alphabet, encoding, medium, rate
from ardm.data.dataset import Dataset, Images, spread_indices
from ardm.data.dataset import load as load_data
from ardm.data.media import AUDIO, TEXT, Medium
from ardm.data.waves import Sound
from ardm.errors import InputError
from ardm.events import history
from ardm.generated import Calls
from ardm.job.spec import JobSpec
from ardm.model import policy
from ardm.model.build import Model, Params
from ardm.store.run_directory import Run
from ardm.store.store import Store
from ardm.training.evaluate import Evaluator

Split = Literal["valid", "test", "train"]


@dataclass(frozen=True, eq=False)
class Checkpointed:
    """A trained model with the parameters of a verified checkpoint.

    Attributes:
        name: name of the run.
        spec: the frozen spec of the run.
        model: the model without its parameters.
        params: the exponential moving average of the parameters.
        tracked_losses: the losses L tracked in training, in nats per dimension, for each generation
            step; they lag behind the parameters by about a thousand training steps.
        attempt: number of the attempt that wrote the checkpoint.
        step: number of training steps done.
        digest: SHA-256 digest of the whole state.
        home: the run that holds the checkpoint, or the directory that it was pulled to.
        cache: address of the cache of prepared data; None for no cache.
    """

    name: str
    spec: JobSpec
    model: Model
    params: Params
    tracked_losses: Float[np.ndarray, " steps"]
    attempt: int
    step: int
    digest: str
    home: Run | Path
    cache: str | None = None

    @property
    def kept_policies(self) -> KeptPolicies:
        """The policies that `ardm policy` keeps beside this checkpoint."""
        origin = {"run": self.name, "step": self.step, "digest": self.digest}
        if isinstance(self.home, Path):
            return KeptPolicies(Store(str(self.home)), PULLED, origin)
        name = self.home.policies(self.attempt, self.step)
        return KeptPolicies(self.home.store, name, origin)

    @property
    def losses(self) -> Float[np.ndarray, " steps"]:
        """The losses L in nats, as measured by `ardm policy`, else as tracked in training."""
        kept = self.kept_policies.losses()
        if kept is None or kept.shape != self.tracked_losses.shape:
            return self.tracked_losses
        return kept

    def likelihoods(self) -> dict[str, str]:
        """The newest NELBO on each split where one was estimated, with its error, as text."""
        if isinstance(self.home, Path):
            known = evaluations(self.home)
        else:
            known = history.read(self.home).curve.newest(self.step)
        found = {}
        for split, (step, bpd, error) in known.items():
            when = "" if step == self.step else f" (at step {step:,})"
            found[split] = f"{bpd:.4f} ± {error:.4f} {self.medium.unit}{when}"
        return found

    @cached_property
    def data(self) -> Dataset:
        """The data that the model was trained on."""
        return load_data(self.spec.data, self.cache)

    @property
    def alphabet(self) -> Alphabet | None:
        """The alphabet of the texts that the model generates; None if it generates images."""
        return Alphabet(alphabet(self.spec.data)) if self.medium == TEXT else None

    @property
    def sound(self) -> Sound | None:
        """How the recordings that the model generates sound; None if it generates others."""
        data = self.spec.data
        return Sound(rate(data), encoding(data)) if self.medium == AUDIO else None

    @property
    def medium(self) -> Medium:
        """What the model generates."""
        return medium(self.spec.data)

    @property
    def data_title(self) -> str:
        """The name of the data set, with "(dynamic)" if the binarization is dynamic."""
        data = self.spec.data
        return f"{data.dataset} (dynamic)" if data.binarize == "dynamic" else data.dataset

    def images(
        self, split: Split = "valid", count: int | None = None, usual: int | None = None
    ) -> tuple[Images, Int[np.ndarray, " n"]]:
        """Images of a split, evenly spread over it, and their indices within the split.

        >>> images, index = model.images("valid", 3)
        >>> images.shape, index.shape
        ((3, 28, 28, 1), (3,))

        Args:
            split: the split.
            count: number of images; None for the usual number.
            usual: the usual number of images, at most; None for all of them.

        Raises:
            InputError: the split has fewer images than `count`.
        """
        images = self.data.images(split)
        if count is not None and count > len(images):
            raise InputError(
                f"--images {count}: the {split} split of {self.data.title} has {len(images)} "
                f"{self.medium.examples}; give fewer, or leave the option out"
            )
        index = spread_indices(len(images), count or usual)
        return images[index], index

    def calls(
        self, steps: int | None, budget: int | None, known: int = 0, wanted: int | None = None
    ) -> Calls:
        """The network calls that generate an image.

        Args:
            steps: number of calls, evenly spread.
            budget: number of calls, made where they help most.
            known: number of dimensions that are given.
            wanted: number of dimensions to generate; default: all others.

        Raises:
            InputError: both numbers are given, or more calls than dimensions to generate, or fewer
                and the model generates one dimension per call.
        """
        if steps and budget:
            raise InputError(
                f"--steps {steps} (evenly spread) and --budget {budget} (where they help most) "
                "exclude each other; give one of them"
            )
        objective = self.model.objective
        stages = objective.stages
        left = stages * (objective.D - known if wanted is None else wanted)
        number = steps or budget or left
        if number < left and not objective.several_per_call:
            raise InputError(
                f"{number} network calls for {left} dimensions: the objective "
                f"{self.spec.model.objective} generates one dimension per call; leave --budget and "
                "--steps out"
            )
        starts = policy.remaining(
            self.losses, known, number, stages=stages, evenly=budget is None, wanted=wanted
        )
        kind = "sequential" if number == left else "uniform" if steps else "optimal"
        return Calls(starts, kind)

    def evaluator(self, seed: int | None) -> Evaluator:
        """The evaluator of the NELBO, with the random draws of a seed; default: the run's seed."""
        return Evaluator(self.model, self._seed(seed))

    def _seed(self, seed: int | None) -> int:
        return self.spec.seed if seed is None else seed
