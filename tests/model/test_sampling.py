import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.errors import InputError
from ardm.model import draws, policy
from ardm.model.order_agnostic import OrderAgnostic
from ardm.model.output import Categorical
from ardm.model.sampling import HIDDEN, complete, image_keys, sample
from tests.model.tiny import compiled, tiny_model, tiny_params

pytestmark = pytest.mark.slow


KEY = jax.random.key(21)
MODEL = tiny_model(side=4, levels=2, classes=3)
PARAMS = tiny_params(MODEL)
PREDICT = MODEL.bind(PARAMS)
# Five dimensions at arbitrary places.
KNOWN = np.isin(np.arange(16), [0, 3, 6, 7, 14]).reshape(MODEL.shape)


def run(num=3, budget=4, *, model=MODEL, predict=PREDICT, key=KEY, starts=None, **options):
    starts = policy.uniform(model.D, budget) if starts is None else starts
    return sample(predict, key, num, starts, objective=model.objective, **options)


def sequential(num):
    """Sample dimension by dimension, with the random draws of the sampler but none of its code."""
    keys = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(num))
    sigma = np.asarray(draws.orders(keys, MODEL.shape))
    noise = np.asarray(
        jax.vmap(lambda key: MODEL.output.noise(key, 4, 4))(draws.noise_keys(keys)), np.float64
    )
    x = np.zeros((num, *MODEL.shape), np.uint8)
    for step in range(MODEL.D):
        logits = np.asarray(
            compiled(MODEL)(PARAMS, jnp.asarray(x), jnp.asarray(sigma < step), jnp.full(num, step)),
            np.float64,
        )
        for image in range(num):
            at = tuple(np.argwhere(sigma[image] == step)[0])
            p = np.exp(logits[image][at]) / np.exp(logits[image][at]).sum()
            x[image][at] = np.searchsorted(np.cumsum(p), noise[image][at], side="right")
    return x


def test_one_step_per_call_is_sequential_sampling_bit_for_bit():
    np.testing.assert_array_equal(run(3, budget=MODEL.D).images, sequential(3))


def test_images_are_classes_of_the_right_type():
    images = run(5, batch=2).images
    assert images.shape == (5, 4, 4, 1)
    assert images.dtype == np.uint8
    assert set(np.unique(images)) <= {0, 1, 2}


@pytest.mark.parametrize("batch", [1, 2, 5, 8])
def test_batch_size_does_not_matter(batch):
    np.testing.assert_array_equal(run(5, batch=batch).images, run(5, batch=3).images)


def test_an_image_does_not_depend_on_how_many_follow():
    np.testing.assert_array_equal(run(2).images, run(6).images[:2])


def test_the_key_decides():
    np.testing.assert_array_equal(run().images, run().images)
    assert not np.array_equal(run().images, run(key=jax.random.key(22)).images)
    images = run(4).images
    assert not np.array_equal(images[0], images[1])


@pytest.mark.parametrize("starts", [[0], [0, 1, 5, 15], list(range(16))])
def test_every_call_reveals_exactly_its_segment(starts):
    samples = run(3, starts=np.array(starts), batch=2, keep_chain=True)
    chain = samples.chain
    assert chain.shape == (len(starts) + 1, 3, 4, 4, 1)
    assert (chain[0] == HIDDEN).all()
    np.testing.assert_array_equal(chain[-1], samples.images)
    lengths = np.diff([*starts, 16])
    for before, after, length in zip(chain, chain[1:], lengths, strict=False):
        shown = before != HIDDEN
        np.testing.assert_array_equal(after[shown], before[shown])
        np.testing.assert_array_equal(
            (after != HIDDEN).sum(axis=(1, 2, 3)) - shown.sum(axis=(1, 2, 3)), length
        )


def test_one_program_of_each_device_serves_all_policies():
    traces = []

    def predict(x, mask, t):
        traces.append(1)
        return jnp.zeros((*x.shape, 3))

    for budget in (1, 3, 16):
        run(5, budget=budget, predict=predict, batch=2)
    assert 1 <= len(traces) <= len(jax.local_devices())


def test_what_is_generated_is_seen_by_the_next_calls():
    """A model that repeats the visible values generates images of a single value."""

    def predict(x, mask, t):
        seen = jnp.where(mask, 2.0 * x - 1, 0.0).sum(axis=(1, 2, 3))
        ones = 50 * jnp.broadcast_to(seen[:, None, None, None], x.shape)
        return jnp.stack([jnp.zeros_like(ones), ones], axis=-1)

    model = tiny_model(side=4)
    images = run(40, budget=16, model=model, predict=predict).images
    means = images.mean(axis=(1, 2, 3))
    assert set(means) == {0.0, 1.0}
    together = run(40, budget=1, model=model, predict=predict).images
    assert not (set(together.mean(axis=(1, 2, 3))) & {0.0, 1.0})


def test_samples_follow_the_predicted_distribution():
    logits = jnp.array([0.0, 1.0, -1.0])
    images = run(
        200, predict=lambda x, mask, t: jnp.broadcast_to(logits, (*x.shape, 3)), batch=50
    ).images
    expected = images.size * np.asarray(jax.nn.softmax(logits))
    counts = np.bincount(images.ravel(), minlength=3)
    # Chi-square with 2 degrees of freedom: 13.8 is its 0.999 quantile.
    assert ((counts - expected) ** 2 / expected).sum() < 13.8


def test_a_low_temperature_takes_the_likeliest_value():
    logits = jnp.array([0.0, 1.0, -1.0])
    images = run(
        4,
        predict=lambda x, mask, t: jnp.broadcast_to(logits, (*x.shape, 3)),
        temperature=0.01,
    ).images
    assert (images == 1).all()


@pytest.mark.parametrize("starts", [[], [1, 2], [0, 2, 2], [0, 3, 1], [0, 16]])
def test_impossible_policies_are_refused(starts):
    with pytest.raises(InputError, match=r"begin a segment at \[0\] and stay below 16"):
        run(starts=np.array(starts, int))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num": 0}, "num 0: expected 1 image or more"),
        ({"batch": 0}, "batch 0: expected 1 image or more"),
        ({"temperature": 0.0}, "temperature 0.0: expected a positive number"),
        ({"temperature": float("nan")}, "temperature nan: expected a positive number"),
    ],
)
def test_impossible_numbers_are_refused(wrong, message):
    with pytest.raises(InputError, match=message):
        run(**wrong)


@pytest.mark.parametrize("starts", [None, np.array([0, 1, 5, 15])])
def test_a_fixed_order_is_that_of_every_image(starts):
    order = draws.fixed("centre-out", KEY, MODEL.shape)
    chain = run(3, 16, starts=starts, order=order, keep_chain=True).chain
    shown = (chain != HIDDEN).reshape(len(chain), 3, -1)
    bounds = range(17) if starts is None else [*starts, 16]
    for frame, generated in zip(shown, bounds, strict=True):
        for image in frame:
            np.testing.assert_array_equal(image, order.ravel() < generated)


def test_an_optimal_policy_of_all_steps_is_sequential_sampling_bit_for_bit():
    L = np.random.default_rng(0).random(16)
    starts = policy.optimal(L, [16])[16]
    np.testing.assert_array_equal(run(3, starts=starts).images, sequential(3))


def finished(num=3, starts=None, known=KNOWN, x=None, **options):
    """Complete images of which the dimensions `known` are given."""
    x = np.random.default_rng(2).integers(0, 3, (num, 4, 4, 1), np.uint8) if x is None else x
    starts = np.arange(int(known.sum()), 16) if starts is None else starts
    keys = image_keys(KEY, jnp.arange(num))
    return complete(PREDICT, keys, x, known, starts, objective=MODEL.objective, **options)


def test_with_nothing_known_completion_is_sampling_bit_for_bit():
    nothing = np.zeros(MODEL.shape, bool)
    np.testing.assert_array_equal(finished(known=nothing).images, run(3, 16).images)


def test_what_is_known_stays_and_what_is_not_does_not_matter():
    x = np.random.default_rng(2).integers(0, 3, (3, 4, 4, 1), np.uint8)
    completed = finished(x=x).images
    np.testing.assert_array_equal(completed[:, KNOWN], x[:, KNOWN])
    other = finished(x=np.where(KNOWN, x, 2 - x).astype(np.uint8)).images
    np.testing.assert_array_equal(completed, other)


def test_what_is_known_is_seen_by_every_call():
    """The first call has t = the number of known dimensions, and all of them are visible."""
    seen = []

    def predict(x, mask, t):
        jax.debug.callback(lambda *now: seen.append(now), x, mask, t, ordered=True)
        return jnp.zeros((*x.shape, 3))

    x = np.full((2, 4, 4, 1), 2, np.uint8)
    keys = image_keys(KEY, jnp.arange(2))
    starts = np.array([5, 8])
    complete(predict, keys, x, KNOWN, starts, objective=MODEL.objective, batch=2)
    jax.effects_barrier()
    assert sorted(int(step) for _, _, t in seen for step in t) == [5, 5, 8, 8]
    for values, mask, t in seen:
        assert mask[:, KNOWN].all()
        assert (mask.sum(axis=(1, 2, 3)) == t).all()
        assert (values[:, KNOWN] == 2).all()


def test_a_chain_of_completions_begins_with_what_is_known():
    chain = finished(starts=np.array([5, 9]), keep_chain=True).chain
    assert chain.shape == (3, 3, 4, 4, 1)
    np.testing.assert_array_equal(chain[0] != HIDDEN, np.broadcast_to(KNOWN, chain[0].shape))
    assert (chain[1] != HIDDEN).sum(axis=(1, 2, 3)).tolist() == [9, 9, 9]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batch_size_does_not_matter_to_completions(batch):
    np.testing.assert_array_equal(finished(5, batch=batch).images, finished(5, batch=3).images)


def test_a_policy_must_begin_where_the_known_dimensions_end():
    with pytest.raises(InputError, match=r"begin a segment at \[5\] and stay below 16"):
        finished(starts=np.array([0, 8]))


def test_images_of_which_all_is_known_are_given_back():
    x = np.random.default_rng(2).integers(0, 3, (3, 4, 4, 1), np.uint8)
    samples = finished(x=x, known=np.ones(MODEL.shape, bool))
    np.testing.assert_array_equal(samples.images, x)


def test_several_channels_are_generated_one_by_one():
    output = Categorical(channels=3, classes=2)
    samples = sample(
        lambda x, mask, t: jnp.zeros((*x.shape, 2)),
        KEY,
        2,
        policy.uniform(12, 12),
        objective=OrderAgnostic((2, 2, 3), output),
        keep_chain=True,
    )
    assert [(frame != HIDDEN).sum() for frame in samples.chain[:, 0]] == list(range(13))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"channels": 3, "classes": 4, "output": "logistic_mixture", "components": 2},
        {"channels": 3, "classes": 4, "output": "rgb_mixture", "components": 2},
        {"classes": 4, "objective": "upscale", "upscale": {"branch": 2}},
    ],
    ids=str,
)
def test_a_model_of_any_kind_generates_images_of_its_classes(options):
    model = tiny_model(**options)
    stages = model.objective.stages
    starts = policy.uniform(model.D, stages, stages)
    predict = model.bind(tiny_params(model))
    samples = run(3, model=model, predict=predict, starts=starts, batch=2, keep_chain=True)
    assert samples.images.shape == (3, *model.shape)
    assert samples.images.max() < model.classes
    np.testing.assert_array_equal(samples.chain[-1], samples.images)
