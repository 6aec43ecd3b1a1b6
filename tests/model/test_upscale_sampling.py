from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ardm.errors import InputError
from ardm.model import draws
from ardm.model.samples import HIDDEN
from ardm.model.upscale_sampling import sample, uniform
from tests.model.tiny import compiled, tiny_model, tiny_params

KEY = jax.random.key(23)
MODEL = tiny_model(side=2, classes=5, objective="upscale", upscale={"branch": 2})
OBJECTIVE = MODEL.objective
PARAMS = tiny_params(MODEL)
PREDICT = MODEL.bind(PARAMS)


def run(num=3, budget=12, *, predict=PREDICT, key=KEY, starts=None, objective=OBJECTIVE, **options):
    starts = uniform(objective, budget) if starts is None else np.array(starts, int)
    return sample(predict, key, num, starts, objective=objective, **options)


@cache
def kept(budget=6):
    return run(3, budget, batch=2, keep_chain=True)


def sequential(num):
    """Choose digit after digit, with nothing of the sampler but its random draws."""
    keys = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(num))
    x, ladder = np.zeros((num, *MODEL.shape), np.uint8), OBJECTIVE.coarsening
    for stage in range(OBJECTIVE.stages):
        own = draws.stream(keys, stage)
        sigma = np.asarray(draws.orders(own, MODEL.shape))
        noise = jax.vmap(lambda k: OBJECTIVE.output.noise(k, 2, 2))(draws.noise_keys(own))
        unit = ladder.branch ** (ladder.stages - 1 - stage)
        for step in range(MODEL.D):
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
    """A frame of a stage holds coarse values of its resolutions, and the later agree with them."""
    chain, ladder = kept().chain, OBJECTIVE.coarsening
    assert chain.shape == (7, 3, 2, 2, 1)
    assert (chain[0] == HIDDEN).all()
    np.testing.assert_array_equal(chain[-1], kept().images)
    assert chain.max() < MODEL.classes
    for call, frame in enumerate(chain):
        stage = max(call - 1, 0) // 2
        generated = frame != HIDDEN
        assert generated.mean() == min(call / 2, 1)
        before, after = (
            np.asarray(f(jnp.asarray(chain[-1]), stage)) for f in (ladder.previous, ladder.next)
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


def test_a_uniform_policy_gives_every_stage_its_share():
    assert uniform(OBJECTIVE, 3).tolist() == [0, 4, 8]
    assert uniform(OBJECTIVE, 7).tolist() == [0, 2, 4, 6, 8, 9, 10]
    assert uniform(OBJECTIVE, 12).tolist() == list(range(12))
    for budget in (2, 13):
        with pytest.raises(InputError, match="choose from 3 to 12"):
            uniform(OBJECTIVE, budget)


@pytest.mark.parametrize("starts", [[], [0], [0, 4], [0, 4, 9], [0, 4, 4, 8], [0, 4, 8, 12]])
def test_impossible_policies_are_refused(starts):
    with pytest.raises(InputError, match=r"begin a segment at \[0, 4, 8\] and stay below 12"):
        run(starts=starts)


@pytest.mark.parametrize("wrong", [{"num": 0}, {"batch": 0}, {"temperature": 0.0}])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(InputError, match="all must be positive"):
        run(**wrong)


def test_a_low_temperature_takes_the_likeliest_digits():
    def predict(x, mask, t):
        return jnp.broadcast_to(jnp.array([0.0, 1.0]), (*x.shape, 2))

    model = tiny_model(classes=4, objective="upscale", upscale={"branch": 2})
    images = run(4, 2, predict=predict, objective=model.objective, temperature=0.01).images
    assert (images == 3).all()
