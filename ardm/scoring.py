"""The scores of a trained model: its likelihood, and what policies cost."""

import logging
from collections.abc import Callable, Sequence
from typing import Literal, overload

import numpy as np
from jaxtyping import Float, Int

from ardm.checkpointed import Checkpointed, Split
from ardm.errors import InputError
from ardm.model import policy
from ardm.training.estimates import Estimate, PerImage, estimate
from ardm.training.likelihood import Exact, Likelihood
from ardm.training.policy_costs import Measured, measure, measure_steps

log = logging.getLogger(__name__)

USUAL_BUDGETS = (10, 20, 50, 100)
"""Default budgets of a search for policies (network calls per image)."""

EXACT_IMAGES, POLICY_IMAGES = 16, 1000
"""Default numbers of images for an exact likelihood and for the measurement of a policy."""


class Scoring(Checkpointed):
    """Evaluates the model of a checkpoint."""

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
