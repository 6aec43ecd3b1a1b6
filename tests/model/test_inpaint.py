from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.errors import InputError
from ardm.model import policy
from ardm.model.inpaint import KeepName, inpaint, keep
from ardm.model.sampling import complete, image_keys
from tests.model.tiny import random_images, tiny_model, tiny_params

pytestmark = pytest.mark.slow


KEY = jax.random.key(8)
MODEL = tiny_model(side=4, classes=3)
PREDICT = MODEL.bind(tiny_params(MODEL))
X = np.asarray(random_images(MODEL, 3))
TOP = keep("top-half", 4, 4)[..., None]
STARTS = policy.uniform(8, 4) + 8


def run(images=X, completions=2, known=TOP, starts=STARTS, **options):
    return inpaint(
        PREDICT, KEY, images, known, starts, completions, objective=MODEL.objective, **options
    )


def shown(name, height=4, width=4):
    return ["".join(".#"[pixel] for pixel in row) for row in keep(name, height, width).astype(int)]


def test_regions_are_where_their_names_say():
    assert shown("top-half") == ["####", "####", "....", "...."]
    assert shown("left-half") == ["##..", "##..", "##..", "##.."]
    assert shown("centre") == ["....", ".##.", ".##.", "...."]
    assert shown("every-other") == ["#.#.", "....", "#.#.", "...."]


@pytest.mark.parametrize("size", [(4, 4), (28, 28), (5, 7), (32, 16)])
def test_opposite_regions_make_up_the_image(size):
    pairs = [("top-half", "bottom-half"), ("left-half", "right-half"), ("centre", "border")]
    for one, other in pairs:
        assert (keep(one, *size) ^ keep(other, *size)).all()
    for name in get_args(KeepName):
        assert 0 < keep(name, *size).sum() < size[0] * size[1]
    assert keep("centre", 28, 28).sum() == 14 * 14


def test_another_region_is_refused_with_the_choices():
    with pytest.raises(InputError, match=r"'upper-half': choose from top-half, bottom-half, left"):
        keep("upper-half", 4, 4)


def test_what_is_given_stays_in_every_completion():
    completed = run(completions=5)
    assert (completed.shape, completed.dtype) == ((3, 5, 4, 4, 1), np.uint8)
    for image, several in zip(X, completed, strict=True):
        for one in several:
            np.testing.assert_array_equal(one[:2], image[:2])
    assert len(np.unique(completed[0].reshape(5, -1), axis=0)) > 1


def test_hidden_pixels_of_the_original_do_not_matter():
    hidden = X.copy()
    hidden[:, 2:] = 2 - hidden[:, 2:]
    np.testing.assert_array_equal(run(hidden), run())


def test_a_completion_depends_on_neither_the_number_of_images_nor_of_completions_nor_the_batch():
    many = run(completions=4)
    np.testing.assert_array_equal(run(completions=1)[:, 0], many[:, 0])
    np.testing.assert_array_equal(run(X[:2], completions=4), many[:2])
    np.testing.assert_array_equal(run(completions=4, batch=5), many)


def test_completions_are_those_of_the_sampler():
    keys = image_keys(jax.random.fold_in(KEY, 1), jnp.arange(2))
    samples = complete(PREDICT, keys, X[[1, 1]], TOP, STARTS, objective=MODEL.objective)
    np.testing.assert_array_equal(run()[1], samples.images)


def test_no_completions_are_refused():
    with pytest.raises(InputError, match="completions 0: expected 1 or more"):
        run(completions=0)


def test_completions_follow_the_conditional_distribution():
    """If the model copies the first pixel everywhere, the completions have one value."""
    model = tiny_model(side=4, classes=3)

    def predict(x, mask, t):
        first = jnp.broadcast_to(x[:, :1, :1], x.shape)
        return 50.0 * jax.nn.one_hot(first, 3)

    images = np.arange(3, dtype=np.uint8).repeat(16).reshape(3, 4, 4, 1)
    completed = inpaint(predict, KEY, images, TOP, STARTS, 3, objective=model.objective)
    np.testing.assert_array_equal(completed, np.repeat(images[:, None], 3, axis=1))
