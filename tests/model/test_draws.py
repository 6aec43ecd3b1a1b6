from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model import draws

KEY = jax.random.key(7)


def keys_of(count, step=0):
    return draws.example_keys(KEY, step, jnp.arange(count))


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2, 1), (4, 3, 2), (28, 28, 1)])
def test_an_order_is_a_permutation(shape):
    sigma = np.asarray(draws.orders(keys_of(5), shape))
    assert sigma.shape == (5, *shape)
    np.testing.assert_array_equal(
        np.sort(sigma.reshape(5, -1), axis=1), np.tile(np.arange(np.prod(shape)), (5, 1))
    )


def test_all_orders_are_equally_likely():
    sigma = np.asarray(draws.orders(keys_of(6000), (3, 1, 1))).reshape(-1, 3)
    _, counts = np.unique(sigma, axis=0, return_counts=True)
    assert len(counts) == 6
    # Chi-square with 5 degrees of freedom: 20.5 is its 0.999 quantile.
    assert ((counts - 1000) ** 2 / 1000).sum() < 20.5


def test_masks_partition_the_dimensions():
    """Every step reveals one dimension, and each dimension is revealed at one step."""
    size = 12
    sigma = draws.orders(keys_of(3), (4, 3, 1))
    masks = [np.asarray(draws.visible(sigma, jnp.full(3, t))) for t in range(size + 1)]
    assert not masks[0].any()
    assert masks[-1].all()
    revealed = np.stack([after & ~before for before, after in pairwise(masks)])
    np.testing.assert_array_equal(revealed.sum(axis=0), 1)
    np.testing.assert_array_equal(revealed.sum(axis=(2, 3, 4)), 1)
    assert all((before <= after).all() for before, after in pairwise(masks))


def test_uniform_times_are_uniform():
    counts = np.bincount(np.asarray(draws.uniform_times(keys_of(8000), 8)), minlength=8)
    # Chi-square with 7 degrees of freedom: 24.3 is its 0.999 quantile.
    assert ((counts - 1000) ** 2 / 1000).sum() < 24.3


@pytest.mark.parametrize("batch", [1, 3, 8, 20])
def test_antithetic_times_are_uniform_for_every_example(batch):
    """Over many steps each example by itself gets every t equally often."""
    steps, rounds = 8, 4000
    times = jax.vmap(lambda s: draws.antithetic_times(KEY, s, jnp.arange(batch), batch, steps))(
        jnp.arange(rounds)
    )
    for example in np.asarray(times).T:
        counts = np.bincount(example, minlength=steps)
        assert ((counts - rounds / steps) ** 2 / (rounds / steps)).sum() < 24.3


@pytest.mark.parametrize(("batch", "steps"), [(4, 784), (64, 784), (784, 784), (10, 7), (14, 7)])
def test_antithetic_times_form_a_comb(batch, steps):
    """Every window of consecutive steps, modulo `steps`, has its share of the batch, up to one."""
    times = np.asarray(draws.antithetic_times(KEY, 3, jnp.arange(batch), batch, steps))
    assert times.min() >= 0
    assert times.max() < steps
    counts = np.bincount(times, minlength=steps)
    around = np.concatenate([counts, counts])
    for window in {1, steps // 2, max(1, steps // batch)}:
        held = np.convolve(around, np.ones(window, int), mode="valid")
        share = batch * window / steps
        assert held.min() >= np.floor(share)
        assert held.max() <= np.ceil(share)


@pytest.mark.parametrize(("D", "stages"), [(784, 1), (16, 1), (1, 1), (12, 3)])
def test_the_density_by_importance_is_high_at_both_ends(D, stages):
    above, weight = draws.importance(D, stages)
    chance = np.diff(above.astype(float), prepend=0.0)
    assert above[-1] == 1.0
    assert (chance > 0).all()
    np.testing.assert_allclose(weight * chance * D * stages, 1.0, rtol=1e-6)
    by_stage = chance.reshape(stages, D)
    np.testing.assert_allclose(by_stage, np.broadcast_to(by_stage[0], (stages, D)), rtol=1e-3)
    if D > 2:
        assert by_stage[0, 0] > by_stage[0, D // 2] < by_stage[0, -1]


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_times_by_importance_have_their_density_and_weighted_means_are_unbiased(batch):
    D, rounds = 12, 6000
    t, weight = jax.vmap(lambda s: draws.importance_times(KEY, s, jnp.arange(batch), batch, D))(
        jnp.arange(rounds)
    )
    t, weight = np.asarray(t), np.asarray(weight)
    assert t.min() >= 0
    assert t.max() < D
    expected = rounds * np.diff(draws.importance(D)[0].astype(float), prepend=0.0)
    for example in t.T:
        counts = np.bincount(example, minlength=D)
        # Chi-square with 11 degrees of freedom: 31.3 is its 0.999 quantile.
        assert ((counts - expected) ** 2 / expected).sum() < 31.3
    values = np.random.default_rng(0).normal(size=D)
    means = (weight * values[t]).mean(axis=1)
    assert means.mean() == pytest.approx(values.mean(), abs=4 * means.std() / np.sqrt(rounds))


def test_times_by_importance_form_a_comb():
    """Every step gets its share of a large batch, up to one example."""
    batch = 1000
    t, _ = draws.importance_times(KEY, 3, jnp.arange(batch), batch, 28)
    share = batch * np.diff(draws.importance(28)[0].astype(float), prepend=0.0)
    assert np.abs(np.bincount(np.asarray(t), minlength=28) - share).max() <= 1.01


def test_antithetic_offsets_differ_between_steps():
    firsts = {int(draws.antithetic_times(KEY, s, jnp.arange(1), 1, 784)[0]) for s in range(20)}
    assert len(firsts) > 15


@pytest.mark.parametrize("shards", [1, 2, 4, 8])
def test_shards_draw_the_same_bits_as_the_whole_batch(shards):
    batch, shape = 16, (4, 3, 1)

    def of(index):
        keys = draws.example_keys(KEY, 5, index)
        return [
            draws.orders(keys, shape),
            draws.uniform_times(keys, 12),
            draws.antithetic_times(KEY, 5, index, batch, 12),
            *draws.importance_times(KEY, 5, index, batch, 12),
            jax.random.key_data(draws.dropout_keys(keys)),
        ]

    whole = of(jnp.arange(batch))
    parts = [of(index) for index in jnp.split(jnp.arange(batch), shards)]
    for i, expected in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[i] for part in parts]), expected)


def test_streams_steps_and_examples_do_not_share_keys():
    keys = [
        stream
        for step in range(3)
        for stream in (
            keys_of(4, step),
            draws.dropout_keys(keys_of(4, step)),
            draws.noise_keys(keys_of(4, step)),
        )
    ]
    data = np.concatenate([jax.random.key_data(k) for k in keys])
    assert len(np.unique(data, axis=0)) == len(data)
