import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from ardm.training import kl, state
from ardm.training.optimizer import optimizer
from tests.training.setting import SEED, bits, tiny_config, tiny_model


@pytest.fixture(scope="module")
def begin():
    return state.init(tiny_model(), tiny_config(), SEED)


def moved(config, norm):
    """A small state before and after a step along a gradient of a given norm."""
    tree = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2))}
    params, _ = ravel_pytree(tree)
    opt_state = optimizer(config, tree).init(params)
    before = state.TrainState(jnp.int32(0), params, params, opt_state, kl.init(2, 2))
    gradient = norm * jnp.array([0.6, 0.0, 0.0, 0.8, 0.0, 0.0, 0.0])
    return before, state.apply_gradients(config, tree, before, gradient, before.kl)


def test_the_state_begins_at_step_zero_with_the_average_at_the_parameters(begin):
    assert int(begin.step) == 0
    assert bits(begin.ema) == bits(begin.params)
    assert bits(begin.kl) == bits(kl.init(16, 2))


def test_the_seed_alone_decides_the_first_state(begin):
    assert bits(state.init(tiny_model(), tiny_config(), SEED)) == bits(begin)
    assert bits(state.init(tiny_model(), tiny_config(), SEED + 1).params) != bits(begin.params)


def test_the_template_is_the_shape_of_the_state(begin):
    like = state.template(tiny_model(), tiny_config())
    assert jax.tree.structure(like) == jax.tree.structure(begin)
    shapes = [[(x.shape, x.dtype) for x in jax.tree.leaves(tree)] for tree in (like, begin)]
    assert shapes[0] == shapes[1]


def test_a_placed_state_is_bound_to_a_device_and_otherwise_the_same(begin):
    host = jax.device_get(begin)
    placed = state.place(host)
    assert bits(placed) == bits(begin)
    assert all(leaf.committed for leaf in jax.tree.leaves(placed))


@pytest.mark.parametrize(
    ("clip", "norm", "taken"), [(2.0, 50.0, 2.0), (2.0, 0.5, 0.5), (None, 50.0, 50.0)]
)
def test_a_long_gradient_is_cut_to_the_norm_and_a_short_one_left_alone(clip, norm, taken):
    _, after = moved(tiny_config(clip=clip), norm)
    # Adam's first update does not depend on the gradient's norm, but its first moment is 0.1 times
    # the clipped gradient.
    moment = optax.tree.norm(optax.tree.get(after.opt_state, "mu"))
    np.testing.assert_allclose(moment, 0.1 * taken, rtol=1e-4)


def test_the_decay_of_the_average_warms_up_to_its_value():
    config = tiny_config(ema=0.9)
    decay = [float(state.ema_decay(config, jnp.int32(step))) for step in (0, 1, 8, 79, 80, 10**6)]
    np.testing.assert_allclose(decay, [0.1, 2 / 11, 0.5, 80 / 89, 0.9, 0.9], rtol=1e-6)


def test_the_average_follows_the_parameters_by_the_decay():
    before, after = moved(tiny_config(ema=0.9, learning_rate=0.1), 1.0)
    assert int(after.step) == 1
    expected = 0.1 * before.ema + 0.9 * after.params
    np.testing.assert_allclose(after.ema, expected, rtol=1e-6)
    # Adam's first step is the learning rate, against the sign of the gradient.
    moved_by = [-0.1, 0, 0, -0.1, 0, 0, 0]
    np.testing.assert_allclose(after.params - before.params, moved_by, atol=1e-6)
