from itertools import permutations, product

import jax.numpy as jnp
import numpy as np
import pytest

from ardm.errors import InputError
from ardm.model import policy
from ardm.model.evaluation import log_likelihood
from tests.model.tiny import compiled, random_images, tiny_model, tiny_params

pytestmark = pytest.mark.slow


MODEL = tiny_model()
PARAMS = tiny_params(MODEL)
PREDICT = MODEL.bind(PARAMS)
ORDER = np.array([2, 0, 3, 1]).reshape(2, 2, 1)
ALL = np.array(list(product((0, 1), repeat=4)), np.uint8).reshape(-1, 2, 2, 1)


def run(x=ALL, order=ORDER, starts=(0, 1, 2, 3), **options):
    return log_likelihood(
        PREDICT, x, order[None], np.array(starts), objective=MODEL.objective, **options
    )


def by_hand(image, order):
    """Compute the log-likelihood by the chain rule, dimension after dimension."""
    total = 0.0
    for t in range(4):
        at = tuple(np.argwhere(order == t)[0])
        mask = jnp.asarray(order < t)[None]
        logits = compiled(MODEL)(PARAMS, jnp.asarray(image)[None], mask, jnp.full(1, t))
        row = np.asarray(logits, np.float64)[0][at]
        total += row[image[at]] - np.log(np.exp(row).sum())
    return total


def test_the_likelihood_is_that_of_the_chain_rule():
    expected = [by_hand(image, ORDER) for image in ALL[:5]]
    np.testing.assert_allclose(run(ALL[:5]), expected, rtol=1e-5)


@pytest.mark.parametrize("starts", [(0,), (0, 3), (0, 1, 2, 3)])
def test_the_likelihoods_of_all_images_sum_to_one(starts):
    log_p = run(starts=starts)
    assert (log_p.dtype, log_p.shape) == (np.float64, (16,))
    assert np.exp(log_p).sum() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_the_likelihoods_of_complementary_segments_add_up(cut):
    first = run(starts=np.arange(cut), end=cut)
    second = run(starts=np.arange(cut, 4))
    np.testing.assert_allclose(first + second, run(), rtol=1e-12)
    assert (first < 0).all()
    assert (second < 0).all()


def test_the_first_segment_is_a_distribution_and_the_second_one_given_it():
    """p(x_A) does not depend on the other half x_B, and p(x_B | x_A) sums to one over x_B."""
    first = np.exp(run(starts=[0, 1], end=2))
    second = np.exp(run(starts=[2, 3]))
    given = [tuple(image[ORDER < 2]) for image in ALL]
    for values in set(given):
        alike = np.array([one == values for one in given])
        np.testing.assert_allclose(first[alike], first[alike][0], rtol=1e-5)
        assert second[alike].sum() == pytest.approx(1.0, rel=1e-5)


def test_over_all_orders_the_mean_is_the_bound():
    """The mean exact value over all orders equals the mean estimate over all orders and t."""
    image = np.asarray(random_images(MODEL, 1))
    orders = np.array(list(permutations(range(4)))).reshape(-1, 2, 2, 1)
    exact = np.mean([run(image, order)[0] for order in orders])
    bound = 0.0
    for t in range(4):
        mask = jnp.asarray(orders < t)
        images = jnp.repeat(jnp.asarray(image), len(orders), axis=0)
        logits = compiled(MODEL)(PARAMS, images, mask, jnp.full(len(orders), t))
        log_p = np.asarray(MODEL.output.log_prob(logits, images))
        bound += np.where(mask, 0.0, log_p).sum(axis=(1, 2, 3)).mean() / (4 - t)
    assert exact == pytest.approx(bound, rel=1e-5)


@pytest.mark.parametrize("batch", [1, 3, 16, 20])
def test_the_size_of_a_batch_does_not_matter(batch):
    np.testing.assert_allclose(run(ALL[:5], batch=batch), run(ALL[:5]), rtol=1e-5)


def test_fewer_calls_cover_segments_of_independent_dimensions():
    starts = policy.uniform(4, 2)
    logits = compiled(MODEL)(
        PARAMS, jnp.asarray(ALL), jnp.broadcast_to(ORDER < 2, ALL.shape), jnp.full(16, 2)
    )
    log_p = np.asarray(MODEL.output.log_prob(logits, jnp.asarray(ALL)))
    expected = log_p[:, ORDER >= 2].sum(axis=1)
    np.testing.assert_allclose(run(starts=starts) - run(starts=[0], end=2), expected, rtol=1e-5)


@pytest.mark.parametrize("starts", [[0, 2, 2], [0, 4], [2, 1]])
def test_what_are_no_start_times_is_refused(starts):
    with pytest.raises(InputError, match="a policy must ascend"):
        run(starts=starts)


STAGED = tiny_model(classes=3, objective="upscale", upscale={"branch": 2})
STAGED_PREDICT = STAGED.bind(tiny_params(STAGED))
EVERY = np.array(list(product(range(3), repeat=4)), np.uint8).reshape(-1, 2, 2, 1)
ORDERS = np.stack([ORDER, ORDER.reshape(-1)[::-1].reshape(ORDER.shape)])


def staged(starts=tuple(range(8)), **options):
    return log_likelihood(
        STAGED_PREDICT, EVERY, ORDERS, np.array(starts), objective=STAGED.objective, **options
    )


@pytest.mark.parametrize("starts", [(0, 4), (0, 2, 4, 7), tuple(range(8))])
def test_from_coarse_to_fine_the_likelihoods_of_all_images_sum_to_one(starts):
    assert np.exp(staged(starts)).sum() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("cut", [1, 4, 6])
def test_segments_add_up_across_stages(cut):
    whole = staged()
    np.testing.assert_allclose(
        staged(np.arange(cut), end=cut) + staged(np.arange(cut, 8)), whole, rtol=1e-12
    )


def test_the_first_stage_is_a_distribution_over_coarse_images():
    first = np.exp(staged([0, 1, 2, 3], end=4))
    coarse = [tuple(image.ravel() // 2) for image in EVERY]
    assert sum(dict(zip(coarse, first, strict=True)).values()) == pytest.approx(1.0, rel=1e-5)
