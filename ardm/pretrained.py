"""A trained model: sampling, in-painting, evaluation, and the search for policies."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, overload

import numpy as np
from jaxtyping import Bool, Float, Int, UInt

from ardm import prompts
from ardm.checkpoint.kept_policies import PULLED, KeptPolicies
from ardm.data.alphabet import Alphabet
from ardm.data.config import alphabet, medium
from ardm.data.dataset import Dataset, Images, spread_indices
from ardm.data.dataset import load as load_data
from ardm.data.media import TEXT, Medium
from ardm.errors import InputError
from ardm.generated import Calls, Completions, Samples
from ardm.job.spec import JobSpec
from ardm.model import draws, inpaint, policy, sampling
from ardm.model.build import Model, Params
from ardm.store.run_directory import Run
from ardm.store.store import Store
from ardm.training.estimates import Estimate, PerImage, estimate
from ardm.training.evaluate import Evaluator
from ardm.training.likelihood import Exact, Likelihood
from ardm.training.policy_costs import Measured, measure, measure_steps
from ardm.training.state import seed_key

log = logging.getLogger(__name__)

Split = Literal["valid", "test", "train"]

USUAL_BUDGETS = (10, 20, 50, 100)
"""Default budgets of a search for policies (network calls per image)."""

EXACT_IMAGES, POLICY_IMAGES = 16, 1000
"""Default numbers of images for an exact likelihood and for the measurement of a policy."""


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A trained model with the parameters of a verified checkpoint.

    >>> model = ardm.load("hello", store="runs")
    >>> model.sample(16, budget=50).save("digits.png")

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

    def sample(
        self,
        num: int = 16,
        *,
        budget: int | None = None,
        steps: int | None = None,
        order: str | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        chain: bool = False,
        length: int | None = None,
        prompt: str | None = None,
        infill: str | None = None,
    ) -> Samples:
        """Generate images or texts.

        >>> model.sample(4, budget=20).images.shape
        (4, 28, 28, 1)

        Args:
            num: number of images or texts.
            budget: number of network calls per image, made where they help most; default: one per
                dimension.
            steps: number of network calls per image, evenly spread, instead of `budget`.
            order: one generation order for all images: `random`, `raster` or `centre-out`; default:
                a random order for each image.
            temperature: divisor of the logits; below 1 the images are more likely ones.
            seed: seed of the orders and values.
            chain: whether to keep the images after every network call.
            length: number of characters of a text; default: that of the sequences of training.
            prompt: the beginning of every text.
            infill: a text in which every `_` is one character to generate.

        Returns:
            The images or texts; number i does not depend on `num`.

        Raises:
            InputError: an argument is out of bounds, or is one of texts and the model generates
                images.
        """
        objective, key = self.model.objective, seed_key(seed)
        given = prompts.read(self.alphabet, objective, length=length, prompt=prompt, infill=infill)
        calls = self.calls(steps, budget, int(given.known.sum()), int(given.wanted.sum()))
        samples = sampling.sample(
            self.model.bind(self.params),
            key,
            num,
            calls.starts,
            objective=objective,
            given=given,
            order=None if order is None else draws.fixed(order, key, objective.shape),
            temperature=temperature,
            keep_chain=chain,
        )
        return Samples(
            samples.images[:, : given.end],
            None if samples.chain is None else samples.chain[:, :, : given.end],
            len(calls.starts),
            calls.kind,
            self.model.classes,
            self.alphabet,
        )

    def inpaint(
        self,
        images: UInt[np.ndarray, "n h w c"],
        mask: Bool[np.ndarray, "h w"],
        completions: int = 1,
        *,
        budget: int | None = None,
        steps: int | None = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> Completions:
        """Complete images of which a part is given.

        >>> import numpy as np
        >>> images, _ = model.images("valid", 2)
        >>> top_half = np.arange(28)[:, None] < np.full(28, 14)
        >>> model.inpaint(images, top_half, completions=3, budget=10).images.shape
        (2, 3, 28, 28, 1)

        Args:
            images: the images, with values 0 .. K-1; values outside the mask are ignored.
            mask: true where a pixel is given.
            completions: number of completions of each image.
            budget: number of network calls per image, made where they help most; default: one per
                dimension that is not given.
            steps: number of network calls per image, evenly spread, instead of `budget`.
            temperature: divisor of the logits.
            seed: seed of the orders and values.

        Raises:
            InputError: an argument is out of bounds, or nothing is left to generate.
        """
        given = np.broadcast_to(mask[..., None], self.model.objective.shape)
        calls = self.calls(steps, budget, int(given.sum()))
        completed = inpaint.inpaint(
            self.model.bind(self.params),
            seed_key(seed),
            images,
            given,
            calls.starts,
            completions,
            objective=self.model.objective,
            temperature=temperature,
        )
        return Completions(completed, len(calls.starts), calls.kind, self.alphabet)

    @overload
    def evaluate(
        self,
        split: Split = ...,
        *,
        images: int | None = ...,
        passes: int = ...,
        seed: int | None = ...,
        budget: int | None = ...,
        exact: Literal[False] = ...,
        orders: int = ...,
    ) -> Estimate: ...

    @overload
    def evaluate(
        self,
        split: Split = ...,
        *,
        images: int | None = ...,
        passes: int = ...,
        seed: int | None = ...,
        budget: int | None = ...,
        exact: Literal[True],
        orders: int = ...,
    ) -> Exact: ...

    def evaluate(
        self,
        split: Split = "valid",
        *,
        images: int | None = None,
        passes: int = 1,
        seed: int | None = None,
        budget: int | None = None,
        exact: bool = False,
        orders: int = 1,
    ) -> Estimate | Exact:
        """Estimate the NELBO of held-out images, or compute their likelihood.

        >>> nelbo = model.evaluate("valid", images=64)  # .nelbo_bpd ± .se_bpd
        >>> nelbo.images, nelbo.passes
        (64, 1)

        Args:
            split: the split to evaluate.
            images: number of images, evenly spread over the split; default: all, with `exact` 16.
            passes: number of orders and generation steps per image, for the estimate.
            seed: seed of the orders and generation steps; default: the run's seed.
            budget: number of network calls per image, under the optimal policy; default: one per
                dimension.
            exact: whether to compute the likelihood, with every network call, instead of the
                estimate.
            orders: number of random orders, for the likelihood.

        Raises:
            InputError: an argument is out of bounds.
        """
        if exact:
            return self.likelihood(split, images, seed, budget).compute(orders)
        per_image, _ = self.per_image(split, images, passes, seed, budget)
        return estimate(per_image, self.model.objective)

    def per_image(
        self,
        split: Split = "valid",
        images: int | None = None,
        passes: int = 1,
        seed: int | None = None,
        budget: int | None = None,
    ) -> tuple[PerImage, Int[np.ndarray, " n"]]:
        """Estimate the NELBO of every image: see `evaluate`.

        >>> estimates, index = model.per_image("valid", images=8)
        >>> index.shape
        (8,)

        Returns:
            The estimates, and the indices of the images within the split.
        """
        starts = None if budget is None else self.calls(None, budget).starts
        chosen, index = self.images(split, images)
        evaluator = self.evaluator(seed)
        return evaluator.per_image(self.params, chosen, passes, policy=starts), index

    def likelihood(
        self,
        split: Split = "valid",
        images: int | None = None,
        seed: int | None = None,
        budget: int | None = None,
    ) -> Likelihood:
        """The exact likelihood, to be computed with `compute`: see `evaluate`."""
        starts = self.calls(None, budget).starts if budget else self.model.objective.exact_starts
        chosen, _ = self.images(split, images, usual=EXACT_IMAGES)
        return Likelihood(self.model, self.params, self._seed(seed), chosen, starts)

    def policy(
        self,
        budgets: Sequence[int] | None = None,
        split: Split = "valid",
        *,
        images: int | None = None,
        passes: int = 1,
        report: Callable[[Measured], None] = lambda measured: None,
        warn: Callable[[str], None] = log.warning,
    ) -> tuple[list[Measured], Float[np.ndarray, " steps"] | None]:
        """Find the best policy for each budget of network calls, and measure its cost in nats.

        >>> measured, losses = model.policy([10], images=32, warn=print)
        32 estimates say little about 784 steps: ...
        >>> [(policy.kind, policy.budget) for policy in measured]
        [('optimal', 10), ('uniform', 10), ('sequential', 784)]

        Args:
            budgets: numbers of network calls per image; default: 10, 20, 50 and 100, if they fit.
            split: the split to measure on.
            images: number of images, evenly spread over the split; default: 1000.
            passes: number of orders and generation steps per image.
            report: called with each policy when it has been measured.
            warn: called with a sentence if there are too few images to measure L.

        Returns:
            The policies, and the measured losses L per generation step by which they were found;
            None in place of L if there are too few images, so that the losses tracked in training
            were used.

        Raises:
            InputError: a budget or the number of images is out of bounds.
        """
        objective = self.model.objective
        if not objective.several_per_call:
            raise InputError(
                f"the objective {self.spec.model.objective} generates one dimension per call, so "
                "there is no policy to choose; use a model with objective oa or upscale"
            )
        if budgets is None:
            budgets = [b for b in USUAL_BUDGETS if objective.stages <= b <= objective.steps]
        policy.require_budgets(budgets, objective.D, objective.stages)
        chosen, _ = self.images(split, images, usual=POLICY_IMAGES)
        evaluator, losses = self.evaluator(None), None
        if len(chosen) * passes >= objective.steps:
            losses = measure_steps(evaluator, self.params, chosen, passes)
        else:
            warn(
                f"{len(chosen) * passes} estimates say little about {objective.steps} steps: the "
                "policies are found from the losses tracked in training"
            )
        L = self.tracked_losses if losses is None else losses
        return measure(evaluator, self.params, L, chosen, budgets, passes, report), losses

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

    @cached_property
    def data(self) -> Dataset:
        """The data that the model was trained on."""
        return load_data(self.spec.data, self.cache)

    @property
    def alphabet(self) -> Alphabet | None:
        """The alphabet of the texts that the model generates; None if it generates images."""
        return alphabet(self.spec.data) if self.medium == TEXT else None

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
