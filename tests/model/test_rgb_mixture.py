import jax
import jax.numpy as jnp
import numpy as np

from ardm.model import draws
from ardm.model.logistic import level
from ardm.model.rgb_mixture import RGBMixture
from tests.model.tiny import compiled, random_images, tiny_model, tiny_params

OUTPUT = RGBMixture(classes=256, components=2)


def narrow(means, coefficients):
    """Parameters of one pixel with two equal components that are as narrow as possible."""
    rows = [0.0, *means, -7.0, -7.0, -7.0, *np.arctanh(coefficients)]
    return jnp.asarray(rows, jnp.float32)[None, None, None, :, None].repeat(2, axis=-1)


def test_green_moves_with_red_and_blue_with_both():
    red, a, b, c = 0.8, 0.5, -0.25, 0.75
    parameters = narrow([red, 0.1, -0.2], [a, b, c])
    noise = OUTPUT.noise(jax.random.key(1), 1, 1)[None]
    drawn = OUTPUT.draw(parameters, noise, jnp.float32(1))
    green = 0.1 + a * red
    blue = -0.2 + b * red + c * green
    np.testing.assert_allclose(level(drawn[0, 0, 0], 256), [red, green, blue], atol=0.03)
    assert float(OUTPUT.log_prob(parameters, drawn)[0, 0, 0, 0]) > -3 * 5


def test_a_pixel_is_one_dimension():
    model = tiny_model(side=2, channels=3, classes=4, output="rgb_mixture", components=2)
    assert model.D == model.objective.steps == 4
    assert model.objective.values == 12
    assert model.objective.choices == 4**3
    x, params = random_images(model, 2), tiny_params(model)
    draw = model.objective.draw(jax.random.key(0), 0, jnp.arange(2), 2, "uniform")
    assert draw.sigma.shape == (2, 2, 2, 1)
    mask = draws.visible(draw.sigma, jnp.array([2, 2]))
    parameters = compiled(model)(params, x, mask, jnp.array([2, 2]))
    assert parameters.shape == (2, 2, 2, 10, 2)
    hidden = jnp.where(mask, x, (x + 1) % 4)
    np.testing.assert_array_equal(
        compiled(model)(params, hidden, mask, jnp.array([2, 2])), parameters
    )


def test_the_bound_of_a_blind_guess_is_that_of_all_channels():
    """Bits per dimension are per value of the image, not per pixel."""
    model = tiny_model(side=2, channels=3, classes=4, output="rgb_mixture", components=2)
    draw = model.objective.draw(jax.random.key(0), 0, jnp.arange(8), 8, "antithetic")
    wide = jnp.zeros((8, 2, 2, 10, 2)).at[..., 4:7, :].set(20.0)
    x = jnp.asarray(np.random.default_rng(0).choice([0, 3], (8, 2, 2, 3)), jnp.uint8)
    terms = jax.jit(lambda: model.objective.terms(lambda *_: wide, x, draw))()
    # A logistic this wide gives each of the two edge values of a channel probability 1/2.
    np.testing.assert_allclose(model.objective.loss(terms, 0.0), 1, rtol=1e-5)
