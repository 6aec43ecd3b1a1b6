import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from optax.contrib import MuonDimensionNumbers, muon

from ardm.training import optimizer
from ardm.training.config import TrainingConfig
from tests.training.setting import tiny_config

RANDOM = np.random.default_rng(4)
SHAPES = {
    "down": {
        "first": {"kernel": (3, 3, 2, 4), "bias": (4,)},
        "second": {"kernel": (3, 3, 2, 4)},
        "third": {"kernel": (6, 4)},
    },
    "embed": {"kernel": (5, 4)},
    "norm": {"scale": (4, 2)},
    "out": {"kernel": (3, 3, 4, 2), "bias": (2,)},
}
MATRICES = {("down", "first"), ("down", "second"), ("down", "third")}


def drawn():
    return jax.tree.map(
        lambda shape: jnp.asarray(RANDOM.standard_normal(shape), jnp.float32),
        SHAPES,
        is_leaf=lambda node: isinstance(node, tuple),
    )


PARAMS, GRADIENTS = drawn(), [drawn() for _ in range(3)]


def walk(transform, params, gradients):
    """The parameters after steps along some gradients."""
    state = transform.init(params)
    for gradient in gradients:
        updates, state = transform.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
    return params


def moved(config: TrainingConfig):
    flat, unravel = ravel_pytree(PARAMS)
    gradients = [ravel_pytree(gradient)[0] for gradient in GRADIENTS]
    return unravel(walk(optimizer.optimizer(config, PARAMS), flat, gradients))


def is_matrix(path) -> bool:
    return (path[0].key, path[1].key) in MATRICES and path[-1].key == "kernel"


def test_cosine_schedule_rises_in_a_line_peaks_after_the_warm_up_and_falls_to_zero():
    config = tiny_config(steps=100, warmup=10, learning_rate=0.5, schedule="cosine")
    rates = np.array([optimizer.schedule(config)(step) for step in range(101)])
    np.testing.assert_allclose(rates[:11], 0.5 * np.arange(11) / 10, atol=1e-6)
    assert rates.argmax() == 10
    assert (np.diff(rates[10:]) < 0).all()
    np.testing.assert_allclose(rates[55], 0.25, atol=1e-6)
    np.testing.assert_allclose(rates[100], 0.0, atol=1e-6)


def test_cosine_schedule_ends_at_the_final_rate():
    config = tiny_config(steps=100, warmup=10, learning_rate=0.5, final_learning_rate=0.1)
    rates = np.array([optimizer.schedule(config)(step) for step in range(101)])
    assert rates.argmax() == 10
    np.testing.assert_allclose(rates[[55, 100]], [0.3, 0.1], atol=1e-6)


@pytest.mark.parametrize("warmup", [0, 1, 100])
def test_constant_schedule_holds_after_the_warm_up(warmup):
    config = tiny_config(steps=100, warmup=warmup, learning_rate=0.5, schedule="constant")
    rates = np.array([optimizer.schedule(config)(step) for step in range(102)])
    np.testing.assert_allclose(rates[warmup:], 0.5, rtol=1e-6)
    assert (rates[:warmup] < 0.5).all()


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_without_warm_up_the_first_step_takes_the_whole_rate(schedule):
    config = tiny_config(steps=100, warmup=0, learning_rate=0.5, schedule=schedule)
    np.testing.assert_allclose(optimizer.schedule(config)(0), 0.5, rtol=1e-6)


def test_adam_is_that_of_optax():
    config = tiny_config(clip=None, schedule="constant")
    expected = walk(optax.adam(1e-2), PARAMS, GRADIENTS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), moved(config), expected)


def test_muon_is_that_of_optax_one_kernel_at_a_time():
    config = tiny_config(clip=None, schedule="constant", optimizer="muon")
    numbers = jax.tree_util.tree_map_with_path(
        lambda path, leaf: (
            MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), (leaf.ndim - 1,))
            if is_matrix(path)
            else None
        ),
        PARAMS,
    )
    whole = muon(
        1e-2,
        ns_steps=4,
        preconditioning="aol",
        consistent_rms=0.2,
        muon_weight_dimension_numbers=numbers,
    )
    expected = walk(whole, PARAMS, GRADIENTS)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), moved(config), expected
    )


def test_muon_moves_matrices_by_the_same_in_all_directions_and_the_rest_as_adam_with_nesterov():
    config = tiny_config(clip=None, schedule="constant", optimizer="muon")
    usual = walk(optax.adam(1e-2, nesterov=True), PARAMS, GRADIENTS)

    def look(path, after, by_adam):
        assert np.allclose(after, by_adam, rtol=1e-4) != is_matrix(path)

    jax.tree_util.tree_map_with_path(look, moved(config), usual)
    first = one_step(config)
    lengths = np.linalg.svd(first["down"]["third"]["kernel"], compute_uv=False)
    assert lengths.max() < 2 * lengths.min()
    gradient = np.linalg.svd(GRADIENTS[0]["down"]["third"]["kernel"], compute_uv=False)
    assert gradient.max() > 2 * gradient.min()


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_weight_decay_shrinks_hidden_kernels_and_nothing_else(optimizer):
    config = tiny_config(clip=None, schedule="constant", optimizer=optimizer)
    without, decayed = (
        one_step(config.model_copy(update={"weight_decay": decay})) for decay in (0.0, 0.5)
    )

    def look(path, before, after, params):
        shrunk = config.learning_rate * 0.5 * params if is_matrix(path) else 0.0
        np.testing.assert_allclose(before - after, shrunk, atol=1e-6)

    jax.tree_util.tree_map_with_path(look, without, decayed, PARAMS)


def one_step(config: TrainingConfig):
    """The first update of the parameters."""
    flat, unravel = ravel_pytree(PARAMS)
    transform = optimizer.optimizer(config, PARAMS)
    updates, _ = transform.update(ravel_pytree(GRADIENTS[0])[0], transform.init(flat), flat)
    return unravel(updates)
