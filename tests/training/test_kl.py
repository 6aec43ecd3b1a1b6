import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ardm.training import kl

STEPS, K = 7, 5
update = jax.jit(kl.update)


def batch(pairs):
    t, nll = zip(*pairs, strict=True)
    return jnp.array(t, jnp.int32), jnp.array(nll, jnp.float32)


pairs = st.lists(
    st.tuples(st.integers(0, STEPS - 1), st.floats(0.0, 20.0, width=32)), min_size=6, max_size=6
)


def test_a_step_that_was_never_seen_counts_as_the_entropy_of_a_uniform_guess():
    tracker = kl.init(STEPS, K)
    np.testing.assert_allclose(tracker.nats, np.full(STEPS, np.log(K)), rtol=1e-6)
    after = update(tracker, *batch([(2, 0.5)] * 6))
    np.testing.assert_allclose(np.delete(after.nats, 2), np.log(K), rtol=1e-6)
    assert list(after.hits) == [0, 0, 1, 0, 0, 0, 0]


def test_the_first_batch_replaces_the_guess_and_later_ones_are_averaged():
    tracker = kl.init(STEPS, K)
    batches = [[1.0, 3.0], [5.0], [0.0, 0.0, 9.0]]
    for values in batches:
        spare = [(0, 1.0)] * (6 - len(values))
        tracker = update(tracker, *batch([(4, v) for v in values] + spare))
    # Each batch counts once, however many of its examples have this step.
    np.testing.assert_allclose(tracker.nats[4], np.mean([2.0, 5.0, 3.0]), rtol=1e-6)
    assert tracker.hits[4] == 3


def test_in_the_long_run_old_batches_fade():
    tracker = kl.init(STEPS, K)
    for _ in range(100):
        tracker = update(tracker, *batch([(1, 2.0)] * 6))
    np.testing.assert_allclose(tracker.nats[1], 2.0, rtol=1e-5)
    tracker = update(tracker, *batch([(1, 3.0)] * 6))
    np.testing.assert_allclose(tracker.nats[1], kl.DECAY * 2.0 + (1 - kl.DECAY) * 3.0, rtol=1e-5)


@settings(deadline=None, max_examples=40)
@given(pairs, st.randoms())
def test_the_order_within_a_batch_does_not_matter(examples, random):
    mixed = examples.copy()
    random.shuffle(mixed)
    one = update(kl.init(STEPS, K), *batch(examples))
    other = update(kl.init(STEPS, K), *batch(mixed))
    np.testing.assert_allclose(one.nats, other.nats, rtol=1e-5, atol=1e-6)
    assert list(one.hits) == list(other.hits)


@settings(deadline=None, max_examples=40)
@given(pairs)
def test_a_step_takes_the_mean_of_its_own_examples_alone(examples):
    after = update(kl.init(STEPS, K), *batch(examples))
    for t in range(STEPS):
        own = [nll for at, nll in examples if at == t]
        expected = np.mean(own) if own else np.log(K)
        np.testing.assert_allclose(after.nats[t], expected, rtol=1e-5, atol=1e-5)
