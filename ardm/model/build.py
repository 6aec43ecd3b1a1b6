"""A model: the network as pure functions of its parameters, with its output and objective."""

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from ardm.errors import SpecError
from ardm.model.baselines import Autoregressive, Permuted
from ardm.model.coarsening import Coarsening
from ardm.model.config import ModelConfig, UpscaleConfig, faults
from ardm.model.dilated import DilatedNet
from ardm.model.letters import LetterKinds
from ardm.model.logistic import LogisticMixture
from ardm.model.net_config import DilatedConfig, TransformerConfig
from ardm.model.objective import Objective
from ardm.model.order_agnostic import OrderAgnostic
from ardm.model.output import Categorical, Output
from ardm.model.rgb_mixture import RGBMixture
from ardm.model.transformer import Attends, Transformer
from ardm.model.unet import UNet
from ardm.model.upscale import DataParametrization, DirectParametrization, Upscale

Params = dict[str, Any]
"""A tree of dictionaries with string keys and float32 arrays."""


class _Keys(nnx.Rngs):
    """The same keys as `nnx.Rngs`, with a counter that is a Python number.

    Flax (0.12) keeps the counter in an array. Each read of that array takes milliseconds while a
    program is traced, which adds more than a second to every start.
    """

    def __init__(self, key: Key[Array, ""]) -> None:
        super().__init__()
        self._key, self._count = key, itertools.count()

    def params(self) -> Key[Array, ""]:
        return jax.random.fold_in(self._key, next(self._count))


@dataclass(frozen=True)
class Model:
    """A model for images of one shape. It holds no arrays.

    Attributes:
        config: the `model` section of the job.
        shape: height, width and channels of one image.
        classes: K, the number of classes of one dimension.
    """

    config: ModelConfig
    shape: tuple[int, int, int]
    classes: int

    @property
    def K(self) -> int:  # noqa: N802
        """The number of classes of one dimension."""
        return self.classes

    @property
    def D(self) -> int:  # noqa: N802
        """The number of dimensions generated one by one."""
        return self.objective.D

    @property
    def output(self) -> Output:
        """The distribution of what one step generates: a value, or a digit of Upscale ARDM."""
        return self.objective.output

    @property
    def objective(self) -> Objective:
        """The training objective: order-agnostic, Upscale ARDM, or a baseline."""
        height, width, channels = self.shape
        if self.config.objective == "upscale":
            return _upscale(self.config.upscale, self.shape, self.classes)
        output = _output(self.config, channels, self.classes)
        return _ONE_STAGE[self.config.objective]((height, width, output.mask_channels), output)

    def init(self, key: Key[Array, ""]) -> Params:
        """Draw initial parameters."""
        return nnx.to_pure_dict(nnx.state(self._network(_Keys(key))))

    @cached_property
    def shapes(self) -> Params:
        """Shapes and dtypes of the parameters, without drawing them."""
        return nnx.to_pure_dict(self._abstract[1])

    @property
    def param_count(self) -> int:
        """The number of parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.shapes))

    def unravel(self, flat: Float[Array, " p"] | Float[np.ndarray, " p"]) -> Params:
        """Undo `jax.flatten_util.ravel_pytree`: turn a vector into the tree of parameters.

        If the vector is a NumPy array, the parameters are views of it.
        """
        leaves, tree = jax.tree.flatten(self.shapes)
        ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
        parts = (np if isinstance(flat, np.ndarray) else jnp).split(flat, ends)
        shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
        return jax.tree.unflatten(tree, shaped)

    def predict(
        self,
        params: Params,
        x: Integer[Array, "b h w c"],
        seen: Bool[Array, "b h w m"] | Int[Array, "b h w m"],
        t: Int[Array, " b"],
        keys: Key[Array, " b"] | None = None,
    ) -> Float[Array, "b h w ..."]:
        """Predict every dimension from the visible ones.

        Args:
            params: parameters of the network.
            x: values 0 .. K-1. Values of hidden dimensions are ignored, except for the digits that
                earlier stages of Upscale ARDM have generated.
            seen: true where a dimension is visible; for the objective `permuted`, sigma. See
                `Objective.seen`.
            t: generation step of each example. For an order-agnostic model it is the number of
                visible dimensions; for Upscale ARDM, t mod D is their number at stage t // D.
            keys: dropout keys, one per example; None turns dropout off.

        Returns:
            Parameters of the output distribution, float32. For a categorical output they are logits
            of shape b h w c K; for Upscale ARDM, logits of the b digits, of shape b h w c b.
        """
        features = nnx.merge(self._abstract[0], params)(x, seen, t, keys)
        return self.objective.parameters(features, x, t)

    def bind(self, params: Params) -> jax.tree_util.Partial:
        """Bind `predict` to parameters: the result is a function and a tree of arrays.

        It can be an argument of a jitted function, which is then compiled once for all parameters.
        """
        # Not `self.predict`: bound methods of equal models are unequal, so JAX would compile again.
        return jax.tree_util.Partial(self, params)

    __call__ = predict

    @cached_property
    def _abstract(self) -> tuple[Any, Any]:
        """Graph definition of the network, and the shapes of its parameters."""
        return nnx.split(nnx.eval_shape(lambda: self._network(_Keys(jax.random.key(0)))))

    def _network(self, keys: _Keys) -> UNet | Transformer | DilatedNet:
        config, objective, dtype = self.config.net, self.objective, jnp.dtype(self.config.dtype)
        coarsening = objective.coarsening if isinstance(objective, Upscale) else None
        augment = self.config.upscale.mode == "augment"
        if isinstance(config, TransformerConfig):
            return Transformer(
                config,
                self.shape,
                self.classes,
                objective.features // self.shape[2],
                _ATTENDS.get(self.config.objective, "all"),
                coarsening,
                augment=augment,
                dtype=dtype,
                rngs=keys,
            )
        if isinstance(config, DilatedConfig):
            return DilatedNet(
                config,
                self.shape,
                self.classes,
                objective.steps,
                objective.features,
                coarsening,
                augment=augment,
                dtype=dtype,
                rngs=keys,
            )
        return UNet(
            config,
            self.shape,
            self.output.mask_channels,
            self.classes,
            objective.steps,
            objective.features,
            coarsening,
            augment=augment,
            dtype=dtype,
            rngs=keys,
        )


_ONE_STAGE: dict[str, type[OrderAgnostic]] = {
    "oa": OrderAgnostic,
    "autoregressive": Autoregressive,
    "permuted": Permuted,
}
_ATTENDS: dict[str, Attends] = {"autoregressive": "natural", "permuted": "permuted"}


def _upscale(config: UpscaleConfig, shape: tuple[int, int, int], classes: int) -> Upscale:
    parametrization = (
        DirectParametrization if config.parametrisation == "direct" else DataParametrization
    )
    coarsening = (
        LetterKinds.of(classes)
        if config.levels == "letters"
        else Coarsening(classes, config.branch)
    )
    return Upscale(shape, parametrization(shape[2], coarsening))


def _output(config: ModelConfig, channels: int, classes: int) -> Output:
    if config.output == "rgb_mixture":
        return RGBMixture(classes, config.components)
    if config.output == "logistic_mixture":
        return LogisticMixture(channels, classes, config.components)
    return Categorical(channels, classes)


def build(config: ModelConfig, shape: tuple[int, int, int], classes: int) -> Model:
    """Build the model that a `model` section describes, for the images of a data set.

    Args:
        config: the `model` section.
        shape: height, width and channels of one image.
        classes: K, the number of classes of one dimension.

    Returns:
        The model.

    Raises:
        SpecError: the section does not fit the data; the error lists all faults.
    """
    problems = faults(config, shape, classes)
    if problems:
        raise SpecError("model", problems)
    return Model(config, shape, classes)
