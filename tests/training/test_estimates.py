import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model.draws import antithetic_times
from ardm.model.evaluation import places
from ardm.training.estimates import PerImage, as_npz, difference, estimate
from tests.training.setting import tiny_model

pytestmark = pytest.mark.slow


OBJECTIVE = tiny_model().objective
STAGED = tiny_model(classes=4, objective="upscale", upscale={"branch": 2}).objective


def comb(random, passes, n, steps):
    """Evenly spaced generation steps of several passes, like those of an evaluation."""
    offset = random.integers(0, steps, (passes, 1))
    place = np.stack([random.permutation(n) for _ in range(passes)])
    return ((offset + place * steps // n) % steps).astype(np.int32)


def draw(random, passes=1, n=400, objective=OBJECTIVE, noise=8.0, image=2.0):
    """Estimates that depend on t, on the image and on noise; and their true mean over t."""
    t = comb(random, passes, n, objective.steps)
    curve = 50.0 + 30.0 * np.cos(np.linspace(0, 3, objective.steps))
    own = image * random.standard_normal(n)
    nelbo = curve[t] + own + noise * random.standard_normal((passes, n))
    return PerImage(nelbo.astype(np.float32), t), curve.mean()


@pytest.mark.parametrize("objective", [OBJECTIVE, STAGED])
@pytest.mark.parametrize(("passes", "n"), [(1, 400), (3, 400), (1, 40)])
def test_the_error_is_that_of_the_mean(objective, passes, n):
    random = np.random.default_rng(0)
    pairs = [draw(random, passes, n, objective) for _ in range(400)]
    estimates = [estimate(per_image, objective) for per_image, _ in pairs]
    off = np.array([e.nelbo_nats for e in estimates]) - pairs[0][1]
    assert abs(off.mean()) < 4 * off.std() / 20
    error = np.mean([e.se_nats for e in estimates])
    # With few estimates the polynomial has fewer terms than the curve needs.
    assert 0.85 * off.std() < error < (1.15 if n == 400 else 1.5) * off.std()
    naive = pairs[0][0].nelbo.mean(axis=0).std(ddof=1) / np.sqrt(n)
    assert error < (0.5 if n == 400 else 0.8) * naive


@pytest.mark.parametrize("by_index", [False, True])
def test_in_a_sorted_set_the_error_covers_the_spread_over_seeds(by_index):
    """The set is sorted: images of the second half cost three times as much as the others."""
    steps, n = OBJECTIVE.steps, 2000
    cost, shape = np.repeat([40.0, 120.0], n // 2), np.linspace(1.6, 0.4, steps)
    random, estimates = np.random.default_rng(0), []
    for seed in range(60):
        key = jax.random.key(seed)
        place = np.arange(n, dtype=np.int32) if by_index else places(key, 0, n)
        t = np.asarray(antithetic_times(key, 0, jnp.asarray(place), n, steps))
        nelbo = (cost * shape[t] + 10 * random.standard_normal(n)).astype(np.float32)
        estimates.append(estimate(PerImage(nelbo[None], t[None]), OBJECTIVE))
    spread = np.std([e.nelbo_nats for e in estimates])
    error = np.mean([e.se_nats for e in estimates])
    assert (spread > 4 * error) if by_index else (spread < error)


def test_few_images_have_the_plain_error():
    random = np.random.default_rng(0)
    nelbo = random.standard_normal((1, 5)).astype(np.float32)
    few = estimate(PerImage(nelbo, np.arange(5, dtype=np.int32)[None]), OBJECTIVE)
    assert few.se_nats == pytest.approx(nelbo.std(ddof=1) / np.sqrt(5), rel=1e-5)
    one = estimate(PerImage(nelbo[:, :1], np.zeros((1, 1), np.int32)), OBJECTIVE)
    assert (one.se_nats, one.images) == (0.0, 1)


def test_differences_are_paired_image_by_image():
    random = np.random.default_rng(0)
    one, _ = draw(random)
    other = one._replace(nelbo=one.nelbo - 0.5 + 0.1 * random.standard_normal(one.nelbo.shape))
    paired = difference(one, other, (OBJECTIVE, OBJECTIVE))
    assert paired.nelbo_nats == pytest.approx(0.5, abs=4 * paired.se_nats)
    assert paired.se_nats < 0.1 * estimate(one, OBJECTIVE).se_nats
    assert paired.nelbo_bpd == pytest.approx(paired.nelbo_nats / (OBJECTIVE.values * np.log(2)))
    same = difference(one, one, (OBJECTIVE, OBJECTIVE))
    assert (same.nelbo_nats, same.se_nats) == (0.0, 0.0)


def test_models_with_other_steps_are_paired_by_the_images():
    random = np.random.default_rng(0)
    errors, off = [], []
    for _ in range(300):
        one, truth = draw(random, image=20.0)
        t = comb(random, 1, 400, STAGED.steps)
        own = one.nelbo - 50.0 - 30.0 * np.cos(np.linspace(0, 3, OBJECTIVE.steps))[one.t]
        other = PerImage((70.0 + own + 0.1 * t).astype(np.float32), t)
        paired = difference(one, other, (OBJECTIVE, STAGED))
        errors.append(paired.se_nats)
        off.append(paired.nelbo_nats - (truth - 70.0 - 0.1 * (STAGED.steps - 1) / 2))
    assert np.std(off) < 1.2 * np.mean(errors)
    assert np.mean(errors) < 0.5


def test_estimates_are_kept_with_their_images_and_steps():
    per_image, _ = draw(np.random.default_rng(0), passes=2, n=7)
    with np.load(io.BytesIO(as_npz(per_image, np.arange(0, 70, 10)))) as kept:
        assert sorted(kept) == ["index", "nelbo", "t"]
        np.testing.assert_array_equal(kept["nelbo"], per_image.nelbo)
        np.testing.assert_array_equal(kept["t"], per_image.t)
        np.testing.assert_array_equal(kept["index"], np.arange(0, 70, 10))
