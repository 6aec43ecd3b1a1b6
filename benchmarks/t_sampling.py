"""How large the gradient is at each generation step, and what a density of t makes of it.

    .venv/bin/python benchmarks/t_sampling.py RUN [--store runs] [--images 4] [--strata 98]

For a trained model, the squared norm of the gradient of single training images is measured all over
the generation steps. From these follow the second moment of the gradient under uniform t, under the
density of `training.t_sampling: importance`, and under the best density there is, which is
proportional to the root of the squared norm. The machine does not matter: nothing is timed.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ardm import Pretrained
    from ardm.model.build import Params


def main() -> None:
    """Print the squared norm over t, and the second moments."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", help="a run, or a pulled directory")
    parser.add_argument("--store", default="runs")
    parser.add_argument("--images", type=int, default=4, help="per stratum of t")
    parser.add_argument("--strata", type=int, default=98)
    args = parser.parse_args()
    import ardm
    from ardm.model import draws

    pretrained = ardm.load(args.run, store=args.store)
    images = pretrained.data.images("train")
    objective = pretrained.model.objective
    t, squares = _measure(pretrained, images, args.images, args.strata)
    _, weight = draws.importance(objective.D, objective.stages)
    by_stratum = squares.reshape(args.strata, args.images).mean(axis=1)
    edges = np.array_split(np.arange(args.strata), 8)
    print(f"{Path(args.run).name}, step {pretrained.step}: E|g|^2 of single images, by t")
    for part in edges:
        low, high = t[part[0] * args.images], t[(part[-1] + 1) * args.images - 1]
        print(f"  t {low:4d} - {high:4d}  {by_stratum[part].mean():10.4g}")
    uniform = squares.mean()
    # Under density q the second moment is the mean over t of E|g_t|^2 / (T q), times T.
    ours = (weight[t] * squares).mean()
    best = np.sqrt(by_stratum).mean() ** 2
    print("second moment of the gradient, of that under uniform t")
    print(f"  importance       {ours / uniform:.3f}")
    print(f"  the best density {best / uniform:.3f}")


def _measure(
    pretrained: "Pretrained", images: np.ndarray, each: int, strata: int
) -> tuple[np.ndarray, np.ndarray]:
    """Generation steps, ascending, and the squared norm of the gradient at each."""
    import jax
    import jax.numpy as jnp

    from ardm.model.draws import orders
    from ardm.model.objective import Draw

    model, config = pretrained.model, pretrained.spec.training
    objective = model.objective
    random = np.random.default_rng(0)
    inside = np.sort(random.random((strata, each)), axis=1)
    t = ((np.arange(strata)[:, None] + inside) * objective.steps / strata).astype(np.int32)

    @jax.jit
    def square(params: "Params", image: jax.Array, draw: Draw) -> jax.Array:
        def loss(params: "Params") -> jax.Array:
            terms = objective.terms(lambda *args: model.predict(params, *args), image, draw)
            return objective.loss(terms, config.ce_weight).mean()

        grads = jax.tree.leaves(jax.grad(loss)(params))
        return sum((jnp.sum(grad * grad) for grad in grads), jnp.float32(0.0))

    found = []
    for number, step in enumerate(t.reshape(-1)):
        keys = jax.random.split(jax.random.key(number), 1)
        draw = Draw(orders(keys, objective.shape), jnp.asarray([step]), keys)
        image = jnp.asarray(images[random.integers(len(images))][None])
        found.append(float(square(pretrained.params, image, draw)))
    return t.reshape(-1), np.array(found)


if __name__ == "__main__":
    main()
