import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model.draws import visible
from ardm.model.transformer import rotate
from tests.model.tiny import compiled, random_images, tiny_params, tiny_transformer

KEY = jax.random.key(2)

pytestmark = pytest.mark.slow


def some_draw(model, count=4):
    return model.objective.draw(KEY, 0, jnp.arange(count), count, "uniform")


@pytest.mark.parametrize("places", [(0, 5), (7, 12), (100, 105)])
def test_the_product_of_rotated_vectors_depends_on_the_distance_of_their_places(places):
    query, key = jax.random.normal(KEY, (2, 1, 1, 1, 8))
    a, b = (rotate(v, jnp.full((1, 1), p)) for v, p in zip((query, key), places, strict=True))
    expected = (query * rotate(key, jnp.full((1, 1), 5))).sum()
    np.testing.assert_allclose((a * b).sum(), expected, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_logits_have_a_row_of_classes_for_every_dimension(channels):
    model = tiny_transformer(channels=channels)
    draw = some_draw(model)
    x = random_images(model, 4)
    logits = compiled(model)(tiny_params(model), x, visible(draw.sigma, draw.t), draw.t)
    assert (logits.shape, logits.dtype) == ((4, 6, 1, channels, 3), jnp.float32)


@pytest.mark.parametrize("options", [{}, {"objective": "upscale", "upscale": {"branch": 2}}])
def test_predictions_depend_on_visible_values_alone(options):
    model = tiny_transformer(**options)
    params, draw, x = tiny_params(model), some_draw(model), random_images(model, 4)
    within = draw.t % model.D
    mask = visible(draw.sigma, within)
    before = compiled(model)(params, x, mask, within)
    hidden_changed = jnp.where(mask, x, (x + 1) % 3)
    np.testing.assert_array_equal(compiled(model)(params, hidden_changed, mask, within), before)
    row = int(jnp.argmax(within > 0))
    all_changed = compiled(model)(params, (x + 1) % 3, mask, within)
    assert not np.array_equal(all_changed[row], before[row])


def test_every_position_sees_all_visible_ones_and_knows_their_distances():
    model = tiny_transformer()
    params, t = tiny_params(model), jnp.array([1])
    predictions = []
    for place in range(6):
        x = jnp.zeros((1, 6, 1, 1), jnp.uint8).at[0, place].set(2)
        mask = jnp.zeros((1, 6, 1, 1), bool).at[0, place].set(True)
        predictions.append(compiled(model)(params, x, mask, t)[0, :, 0, 0])
    for a in range(6):
        for b in range(a):
            assert not np.allclose(predictions[a], predictions[b], atol=1e-4)


@pytest.mark.parametrize("objective", ["oa", "upscale", "autoregressive", "permuted"])
def test_dropout_is_off_without_keys_and_depends_on_them(objective):
    model = tiny_transformer(dropout=0.5, objective=objective, upscale={"branch": 2})
    params, draw, x = tiny_params(model), some_draw(model), random_images(model, 4)

    @jax.jit
    def nelbo(draw):
        return [
            model.objective.terms(model.bind(params), x, draw, train=train).nelbo
            for train in (True, False)
        ]

    other = draw._replace(keys=jax.random.split(KEY, 4))
    (dropped, whole), (dropped_again, whole_again) = nelbo(draw), nelbo(other)
    np.testing.assert_array_equal(whole, whole_again)
    assert not np.allclose(dropped, dropped_again)
    assert not np.allclose(dropped, whole)


@pytest.mark.parametrize("objective", ["oa", "upscale", "autoregressive", "permuted"])
def test_every_parameter_has_a_finite_gradient(objective):
    model = tiny_transformer(objective=objective, upscale={"branch": 2, "mode": "augment"})
    x, draw = random_images(model, 12), some_draw(model, 12)

    @jax.jit
    @jax.grad
    def gradient(params):
        return model.objective.terms(model.bind(params), x, draw).nelbo.sum()

    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient(tiny_params(model))):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path
