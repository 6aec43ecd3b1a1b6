from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ardm.model.build import build
from ardm.model.config import ModelConfig
from ardm.model.draws import visible
from ardm.model.layers import GroupNorm, drop, sinusoids
from ardm.model.net_config import UNetConfig
from tests.model.tiny import compiled, random_images, tiny_model, tiny_params

pytestmark = pytest.mark.slow


KEY = jax.random.key(2)


def inputs(model, count=3):
    """Images with half of their dimensions visible."""
    draw = some_draw(model, count)
    t = jnp.full(count, model.D // 2)
    return random_images(model, count), visible(draw.sigma, t), t


def some_draw(model, count):
    return jax.jit(lambda: model.objective.draw(KEY, 0, jnp.arange(count), count, "uniform"))()


def gradient(model):
    return jax.jit(
        jax.grad(
            lambda params, x, draw: model.objective.terms(model.bind(params), x, draw).nelbo.sum()
        )
    )


def test_the_student_configuration_has_its_published_size():
    net = UNetConfig(channels=32, multipliers=(1,), blocks=3, attention=())
    assert build(ModelConfig(net=net), (28, 28, 1), 2).param_count == 276_418


@pytest.mark.parametrize(
    ("channels", "classes", "levels", "side", "patch"),
    [(1, 2, 1, 5, 1), (3, 256, 2, 8, 2), (1, 16, 3, 4, 1)],
)
def test_logits_have_a_row_of_classes_for_every_dimension(channels, classes, levels, side, patch):
    model = tiny_model(side, channels, classes, levels, patch=patch)
    logits = compiled(model)(tiny_params(model), *inputs(model))
    assert logits.shape == (3, side, side, channels, classes)
    assert logits.dtype == jnp.float32
    assert np.isfinite(logits).all()


@pytest.mark.parametrize(("levels", "patch"), [(1, 1), (2, 2)])
def test_predictions_depend_on_visible_values_alone(levels, patch):
    """Changes of hidden values change no bit; a change of one visible value does."""
    model = tiny_model(4, channels=2, classes=3, levels=levels, patch=patch)
    predict = partial(compiled(model), tiny_params(model))
    x, mask, t = inputs(model)
    before = predict(x, mask, t)
    np.testing.assert_array_equal(predict(jnp.where(mask, x, (x + 1) % 3), mask, t), before)
    changed = x.at[0].set(
        jnp.where(jnp.cumsum(mask[0]).reshape(mask[0].shape) == 1, 2 - x[0], x[0])
    )
    changed = jnp.where(mask, changed, x)
    if (changed != x).any():
        assert not np.array_equal(predict(changed, mask, t)[0], before[0])


@pytest.mark.parametrize("value", [0, 1])
def test_a_hidden_pixel_differs_from_both_values(value):
    """A hidden pixel gives another prediction than either of the two values of a binary pixel."""
    model = tiny_model()
    predict = partial(compiled(model), tiny_params(model))
    x, t = jnp.full((1, 2, 2, 1), value, jnp.uint8), jnp.array([2])
    shown = jnp.ones((1, 2, 2, 1), bool)
    assert not np.array_equal(predict(x, shown, t), predict(x, ~shown, t))


def test_the_generation_step_reaches_the_prediction():
    model = tiny_model()
    predict = partial(compiled(model), tiny_params(model))
    x, mask, t = inputs(model)
    assert not np.array_equal(predict(x, mask, t), predict(x, mask, t + 1))


def test_every_parameter_gets_a_gradient():
    model = tiny_model(side=4, levels=2)
    draw = some_draw(model, 4)
    x = random_images(model, 4)
    grads = gradient(model)(tiny_params(model), x, draw)
    # The bias of the attention's keys adds the same number to all scores of a query: no effect.
    idle = {
        jax.tree_util.keystr(path)
        for path, grad in jax.tree_util.tree_leaves_with_path(grads)
        if np.abs(grad).max() < 1e-4
    }
    assert idle == {"['middle_0']['attention']['key']['bias']"}


def test_bfloat16_computes_close_to_float32_with_float32_parameters():
    half, full = tiny_model(side=4, dtype="bfloat16"), tiny_model(side=4)
    params = tiny_params(half)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    x, mask, t = inputs(half)
    logits = compiled(half)(params, x, mask, t)
    assert logits.dtype == jnp.float32
    assert not np.array_equal(logits, compiled(full)(params, x, mask, t))
    np.testing.assert_allclose(logits, compiled(full)(params, x, mask, t), atol=0.3)

    draw = some_draw(half, 3)
    grads = gradient(half)(params, x, draw)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(grads))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_norm_equals_that_of_flax(groups):
    """The results are equal up to the order of the sums."""
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(3, 2, (2, 3, 4, 6)), jnp.float32)
    ours = GroupNorm(6, groups=groups)
    theirs = nnx.GroupNorm(6, num_groups=groups, rngs=nnx.Rngs(0))
    for norm in (ours, theirs):
        norm.scale[...] = jnp.arange(1.0, 7.0)
        norm.bias[...] = jnp.arange(-3.0, 3.0)
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-4, atol=1e-4)


def test_group_norm_of_constant_features_is_finite():
    x = jnp.full((1, 8, 8, 4), 1000.0)
    norm = GroupNorm(4, groups=2)
    assert np.isfinite(jax.grad(lambda x: norm(x).sum())(x)).all()
    np.testing.assert_allclose(norm(x), 0, atol=0.1)


def test_dropout_zeroes_its_share_and_keeps_the_mean():
    kept = drop(jnp.ones((4, 10, 10, 50)), jax.random.split(KEY, 4), 0.25)
    assert float((kept == 0).mean()) == pytest.approx(0.25, abs=0.02)
    assert float(kept.mean()) == pytest.approx(1, abs=0.02)


def test_sinusoids_tell_all_steps_apart():
    waves = np.asarray(sinusoids(jnp.arange(784), 784, 32))
    assert waves.shape == (784, 32)
    distance = np.linalg.norm(waves[:, None] - waves[None], axis=-1) + 9 * np.eye(784)
    assert distance.min() > 0.1
