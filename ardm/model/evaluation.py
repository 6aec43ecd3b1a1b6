"""Estimates of the evidence lower bound on given images."""

from jaxtyping import Array, Integer, Key

from ardm.model.build import Model, Params
from ardm.model.objective import Terms


def evaluate(
    model: Model,
    params: Params,
    x: Integer[Array, "b h w c"],
    key: Key[Array, ""],
    round_: int | Integer[Array, ""],
    index: Integer[Array, " b"],
    batch: int,
) -> Terms:
    """Estimate the bound of every image, with antithetic generation steps and without dropout.

    Args:
        model: what the parameters belong to.
        params: of the network.
        x: images, values 0 .. K-1.
        key: of the evaluation.
        round_: number of the batch within the evaluation; every one has its own offset.
        index: of the images in their batch.
        batch: size of the whole batch, over which the generation steps are spread.

    Returns:
        Estimates per image, in nats: the same terms as in training. Their mean is unbiased;
        their standard error, taken as if they were independent, is an upper estimate.
    """
    draw = model.objective.draw(key, round_, index, batch, "antithetic")
    return model.objective.terms(model.bind(params), x, draw)
