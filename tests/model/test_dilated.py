import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model.build import build
from ardm.model.config import ModelConfig, UpscaleConfig, faults
from ardm.model.draws import visible
from ardm.model.net_config import DilatedConfig
from tests.model.tiny import compiled, random_images, tiny_params

pytestmark = pytest.mark.slow

KEY = jax.random.key(2)
OPTIONS = {
    "mu-law": (256, {}),
    "linear": (65_536, {"output": "logistic_mixture", "components": 2}),
    "upscale-16": (65_536, {"objective": "upscale", "upscale": UpscaleConfig(branch=16)}),
    "augment-256": (
        65_536,
        {
            "objective": "upscale",
            "upscale": UpscaleConfig(branch=256, mode="augment"),
        },
    ),
}


def model_of(kind, length=9, dropout=0.0):
    classes, options = OPTIONS[kind]
    if options.get("objective") == "upscale":
        options = options | {
            "upscale": options["upscale"].model_copy(
                update={"parametrisation": "data" if "augment" in kind else "direct"}
            )
        }
    net = DilatedConfig(channels=8, blocks=3, cycle=2, dropout=dropout)
    return build(ModelConfig(net=net, **options), (length, 1, 1), classes)


def inputs(model, count=4):
    draw = model.objective.draw(KEY, 0, jnp.arange(count), count, "uniform")
    x = np.asarray(random_images(model, count)).astype(model.objective.value_type)
    x = np.random.default_rng(3).integers(0, model.classes, x.shape).astype(x.dtype)
    return jnp.asarray(x), visible(draw.sigma, draw.t % model.D), draw.t


@pytest.mark.parametrize("kind", OPTIONS)
def test_predictions_depend_on_visible_values_alone(kind):
    model = model_of(kind)
    params, (x, mask, _) = tiny_params(model), inputs(model)
    t = jnp.full(len(x), 3)
    before = compiled(model)(params, x, mask, t)
    assert before.shape[:3] == (4, 9, 1)
    other = (x.astype(jnp.int32) + 4097) % model.classes
    hidden_changed = jnp.where(mask, x, other.astype(x.dtype))
    np.testing.assert_array_equal(compiled(model)(params, hidden_changed, mask, t), before)
    all_changed = compiled(model)(params, other.astype(x.dtype), mask, t)
    seen = np.asarray(mask).any(axis=(1, 2, 3))
    for changed, same, any_visible in zip(all_changed, before, seen, strict=True):
        assert np.array_equal(changed, same) != any_visible


def test_a_prediction_sees_as_far_as_the_dilations_reach():
    """Blocks with dilations 1, 2 and 1 reach four samples to each side."""
    model = model_of("mu-law", length=15)
    params, t = tiny_params(model), jnp.array([1])
    x = jnp.zeros((1, 15, 1, 1), jnp.uint8)
    mask = jnp.zeros((1, 15, 1, 1), bool)
    before = compiled(model)(params, x, mask, t)
    after = compiled(model)(params, x, mask.at[0, 7].set(True), t)
    changed = np.flatnonzero((np.asarray(after) != np.asarray(before)).any(axis=(0, 2, 3, 4)))
    assert (changed.min(), changed.max()) == (3, 11)


@pytest.mark.parametrize("kind", OPTIONS)
def test_every_parameter_has_a_finite_gradient(kind):
    model = model_of(kind)
    x, _, _ = inputs(model, 8)
    draw = model.objective.draw(KEY, 0, jnp.arange(8), 8, "antithetic")

    @jax.jit
    @jax.grad
    def gradient(params):
        return model.objective.terms(model.bind(params), x, draw).nelbo.sum()

    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(tiny_params(model))):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


def test_dropout_is_off_without_keys_and_depends_on_them():
    model = model_of("mu-law", dropout=0.5)
    params, (x, mask, t) = tiny_params(model), inputs(model)
    predict = jax.jit(model.predict)
    keys = jax.random.split(KEY, (2, 4))
    whole, one, other = (predict(params, x, mask, t, *k) for k in ([], [keys[0]], [keys[1]]))
    assert not np.allclose(whole, one)
    assert not np.allclose(one, other)


def test_what_is_no_sequence_is_refused():
    (fault,) = faults(ModelConfig(net=DilatedConfig()), (28, 28, 1), 256)
    assert "dilated convolutions run along a sequence, but the images are 28x28x1" in fault
