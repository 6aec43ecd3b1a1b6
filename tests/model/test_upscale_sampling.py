from functools import cache
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ardm.errors import InputError
from ardm.model import draws, policy
from ardm.model.draws import known_first
from ardm.model.sampling import HIDDEN, complete, image_keys, sample
from tests.model.tiny import compiled, tiny_model, tiny_params

pytestmark = pytest.mark.slow


KEY = jax.random.key(23)
MODEL = tiny_model(side=2, classes=5, objective="upscale", upscale={"branch": 2})
OBJECTIVE = MODEL.objective
PARAMS = tiny_params(MODEL)
PREDICT = MODEL.bind(PARAMS)
NOTHING, LEFT = np.zeros(MODEL.shape, bool), np.array([1, 0, 1, 0], bool).reshape(MODEL.shape)


def run(num=3, budget=12, *, predict=PREDICT, key=KEY, starts=None, objective=OBJECTIVE, **options):
    starts = (
        policy.uniform(objective.D, budget, objective.stages)
        if starts is None
        else np.array(starts, int)
    )
    return sample(predict, key, num, starts, objective=objective, **options)


@cache
def kept(budget=6):
    return run(3, budget, batch=2, keep_chain=True)


def sequential(num, given=None, known=NOTHING):
    """Sample digit after digit, with the random draws of the sampler but none of its code."""
    keys = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(num))
    x, coarsening = np.zeros((num, *MODEL.shape), np.uint8), OBJECTIVE.coarsening
    if given is not None:
        x[:, known] = given[:, known]
    for stage in range(OBJECTIVE.stages):
        own = draws.stream(keys, stage)
        sigma = np.asarray(known_first(draws.orders(own, MODEL.shape), known))
        noise = jax.vmap(lambda k: OBJECTIVE.output.noise(k, 2, 2))(draws.noise_keys(own))
        unit = coarsening.branch ** (coarsening.stages - 1 - stage)
        for step in range(known.sum(), MODEL.D):
            t = jnp.full(num, stage * MODEL.D + step)
            logits = compiled(MODEL)(PARAMS, jnp.asarray(x), jnp.asarray(sigma < step), t)
            p = np.exp(np.asarray(logits, np.float64))
            for image in range(num):
                at = tuple(np.argwhere(sigma[image] == step)[0])
                below = np.cumsum(p[image][at]) / p[image][at].sum()
                x[image][at] += unit * np.searchsorted(below, float(noise[image][at]), "right")
    return x


def test_one_step_per_call_is_sequential_sampling_bit_for_bit():
    np.testing.assert_array_equal(run(3).images, sequential(3))


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batch_size_and_number_do_not_matter(batch):
    np.testing.assert_array_equal(run(5, batch=batch).images[:3], run(3, batch=3).images)


def test_the_key_decides():
    assert not np.array_equal(run(4).images, run(4, key=jax.random.key(1)).images)


def test_values_are_refined_stage_after_stage():
    """The values in a frame are coarse values, before or after its stage, of the final image."""
    chain, coarsening = kept().chain, OBJECTIVE.coarsening
    assert chain.shape == (7, 3, 2, 2, 1)
    assert (chain[0] == HIDDEN).all()
    np.testing.assert_array_equal(chain[-1], kept().images)
    assert chain.max() < MODEL.classes
    for call, frame in enumerate(chain):
        stage = max(call - 1, 0) // 2
        generated = frame != HIDDEN
        assert generated.mean() == min(call / 2, 1)
        before, after = (
            np.asarray(coarsening.previous(jnp.asarray(chain[-1]), s)) for s in (stage, stage + 1)
        )
        assert ((frame == before) | (frame == after))[generated].all()
        if call % 2 == 0:
            np.testing.assert_array_equal(frame[generated], after[generated])


def test_every_call_reveals_exactly_its_segment():
    """A model that always chooses the digit 1 shows which dimensions have been visited."""
    model = tiny_model(classes=4, objective="upscale", upscale={"branch": 2})

    def ones(x, mask, t):
        return jnp.stack([jnp.full(x.shape, -1e9), jnp.zeros(x.shape)], axis=-1)

    starts = [0, 1, 4, 7]
    chain = run(2, starts=starts, objective=model.objective, predict=ones, keep_chain=True).chain
    counts = [(np.sort(frame.reshape(2, -1), axis=1)).tolist()[0] for frame in chain]
    assert counts == [[-1] * 4, [-1, -1, -1, 2], [2] * 4, [2, 3, 3, 3], [3] * 4]


def test_samples_follow_the_predicted_distribution():
    """Blind logits of five values, in three stages of two digits each."""
    p = np.array([0.1, 0.3, 0.2, 0.35, 0.05])
    logits = jnp.broadcast_to(jnp.log(jnp.asarray(p)), (50, 2, 2, 5)).astype(jnp.float32)
    images = run(
        200, 3, predict=lambda x, mask, t: OBJECTIVE.parameters(logits, x, t), batch=50
    ).images
    counts = np.bincount(images.ravel(), minlength=5)
    assert stats.chisquare(counts, images.size * p).pvalue > 1e-3


def test_one_program_of_each_device_serves_all_stages_and_policies():
    traces = []

    def predict(x, mask, t):
        traces.append(1)
        return jnp.zeros((*x.shape, 2))

    for budget in (3, 5, 12):
        run(5, budget, predict=jax.tree_util.Partial(predict), batch=2)
    assert 1 <= len(traces) <= len(jax.local_devices())


@pytest.mark.parametrize("starts", [[], [0], [0, 4], [0, 4, 9], [0, 4, 4, 8], [0, 4, 8, 12]])
def test_impossible_policies_are_refused(starts):
    with pytest.raises(InputError, match=r"begin a segment at \[0, 4, 8\] and stay below 12"):
        run(starts=starts)


def test_a_low_temperature_takes_the_likeliest_digits():
    def predict(x, mask, t):
        return jnp.broadcast_to(jnp.array([0.0, 1.0]), (*x.shape, 2))

    model = tiny_model(classes=4, objective="upscale", upscale={"branch": 2})
    images = run(4, 2, predict=predict, objective=model.objective, temperature=0.01).images
    assert (images == 3).all()


def test_what_is_known_stays_and_the_rest_is_sequential_sampling_bit_for_bit():
    x = np.random.default_rng(1).integers(0, 5, (3, *MODEL.shape)).astype(np.uint8)
    starts = policy.remaining(np.ones(12), 2, 6, stages=3, evenly=True)
    keys = image_keys(KEY, jnp.arange(3))
    samples = complete(PREDICT, keys, x, LEFT, starts, objective=OBJECTIVE, keep_chain=True)
    np.testing.assert_array_equal(samples.images, sequential(3, x, LEFT))
    np.testing.assert_array_equal(samples.images[:, LEFT], x[:, LEFT])
    assert (samples.chain[0] == np.where(LEFT, x.astype(int), HIDDEN)).all()
    assert samples.images.max() < MODEL.classes


def test_one_order_for_all_serves_every_stage():
    raster = np.arange(4).reshape(2, 2, 1)
    chain = run(2, order=raster, keep_chain=True).chain
    for call, (before, after) in enumerate(pairwise(chain)):
        changed = (before != after)[:, raster != call % 4]
        assert not changed.any()
