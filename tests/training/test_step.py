import os
import subprocess
import sys
from functools import partial

import jax
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from ardm.data.batches import Batches
from ardm.training import state as states
from ardm.training.group import Alone
from ardm.training.loop import train, warm_up
from ardm.training.step import Step
from tests.compiling import compilations
from tests.training.setting import (
    SEED,
    bits,
    tiny_config,
    tiny_images,
    tiny_model,
    tiny_sound_model,
    tiny_text_model,
    tiny_work,
    together,
)

pytestmark = pytest.mark.slow


COLOR = {"channels": 3, "classes": 8}
KINDS = {
    "categorical": {},
    "rgb_mixture": COLOR | {"output": "rgb_mixture", "components": 2},
    "upscale": COLOR | {"objective": "upscale", "upscale": {"branch": 2, "mode": "augment"}},
}
"""For each golden value the model that it belongs to, as options of `tiny_model`."""

TEXTS = ["oa", "upscale", "autoregressive", "permuted"]
"""For each golden value the objective of the `tiny_text_model` that it belongs to."""

SOUNDS = ["mu-law", "linear", "upscale"]
"""For each golden value the kind of the `tiny_sound_model` that it belongs to."""

MODELS = {kind: partial(tiny_model, **options) for kind, options in KINDS.items()}
MODELS |= {f"text {objective}": partial(tiny_text_model, objective) for objective in TEXTS}
MODELS |= {f"sound {kind}": partial(tiny_sound_model, kind) for kind in SOUNDS}

GOLDEN = {
    "categorical": {
        "nelbo_bpd": 1.074349,
        "grad_norm": 1.019909,
        "ema_norm": 12.573720,
        "kl_mean": 0.718914,
    },
    "rgb_mixture": {
        "nelbo_bpd": 3.365559,
        "grad_norm": 0.909266,
        "ema_norm": 13.477759,
        "kl_mean": 6.618404,
    },
    "upscale": {
        "nelbo_bpd": 3.429248,
        "grad_norm": 3.132625,
        "ema_norm": 13.847499,
        "kl_mean": 0.698657,
    },
    "text oa": {
        "nelbo_bpd": 1.823816,
        "grad_norm": 3.385368,
        "ema_norm": 12.104031,
        "kl_mean": 1.254787,
    },
    "text upscale": {
        "nelbo_bpd": 2.172681,
        "grad_norm": 14.381742,
        "ema_norm": 12.568222,
        "kl_mean": 0.733045,
    },
    "text autoregressive": {
        "nelbo_bpd": 2.088806,
        "grad_norm": 3.565031,
        "ema_norm": 12.103693,
        "kl_mean": 1.042084,
    },
    "text permuted": {
        "nelbo_bpd": 1.936569,
        "grad_norm": 3.622562,
        "ema_norm": 12.105738,
        "kl_mean": 1.417102,
    },
    "sound mu-law": {
        "nelbo_bpd": 7.995755,
        "grad_norm": 0.335538,
        "ema_norm": 26.771927,
        "kl_mean": 5.542562,
    },
    "sound linear": {
        "nelbo_bpd": 17.110443,
        "grad_norm": 1.035822,
        "ema_norm": 14.544695,
        "kl_mean": 11.774533,
    },
    "sound upscale": {
        "nelbo_bpd": 15.990218,
        "grad_norm": 0.969988,
        "ema_norm": 368.329712,
        "kl_mean": 2.772212,
    },
}

WHOLE = tiny_config(grad_shards=1, steps=40, schedule="constant", learning_rate=3e-2)
"""A configuration with a single gradient shard."""


@pytest.fixture(scope="module")
def begin():
    return states.place(states.init(tiny_model(), tiny_config(), SEED))


def two_steps(group, state, config=None, devices=None):
    """Take two steps with one worker; returns its last state and metrics, and its share."""
    work = tiny_work(group, config)
    step = Step(work.model, work.config, work.seed, group, devices)
    for number in range(2):
        images = work.batches.slice(number, *step.share)
        state, metrics = step(state, images, flag=10 * number + group.rank)
    return jax.device_get(state), jax.device_get(metrics), step.share


@pytest.mark.parametrize(
    ("size", "t_sampling"),
    [(2, "antithetic"), (4, "antithetic"), (2, "uniform"), (2, "importance")],
)
def test_any_number_of_workers_that_divides_the_shards_gives_the_same_bits(begin, size, t_sampling):
    config = tiny_config(t_sampling=t_sampling)
    alone, metrics, share = two_steps(Alone(), begin, config)
    assert share == (0, 8)
    workers = together(size, lambda member: two_steps(member, begin, config))
    for state, of_worker, _ in workers:
        assert bits(state) == bits(alone)
        assert bits(of_worker[:2]) == bits(metrics[:2])
        assert list(of_worker.flags) == [10 + rank for rank in range(size)]
    shares = [share for _, _, share in workers]
    assert [i for start, stop in shares for i in range(start, stop)] == list(range(8))


@pytest.mark.parametrize("kind", ["text oa", "sound linear"])
def test_so_it_does_with_texts_and_recordings(kind):
    model, config = MODELS[kind](), tiny_config()
    begin = states.place(states.init(model, config, SEED))
    random = np.random.default_rng(1)
    examples = random.integers(0, model.classes, (50, *model.shape), model.objective.value_type)
    batches = Batches(examples, config.batch_size, SEED)

    def two(group):
        step, state = Step(model, config, SEED, group), begin
        for number in range(2):
            state, _ = step(state, batches.slice(number, *step.share), flag=0)
        return bits(jax.device_get(state))

    alone = two(Alone())
    assert together(2, two) == [alone, alone]


def test_a_second_device_gives_the_same_bits(begin):
    state, metrics, _ = two_steps(Alone(), begin, devices=1)
    other, other_metrics, _ = two_steps(Alone(), begin, devices=2)
    assert bits(other) == bits(state)
    assert bits(other_metrics[:2]) == bits(metrics[:2])


def test_the_bits_are_the_same_with_the_compiler_as_users_have_it():
    """All other tests compile without optimization."""
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.digests"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    digests = done.stdout.split()
    assert len(digests) == 11
    assert len(set(digests[:8])) == 1
    assert len(set(digests[8:])) == 1


def test_the_gradient_is_that_of_the_mean_loss_over_the_whole_batch(begin):
    def first_moment(config):
        step = Step(tiny_model(), config, SEED, Alone())
        after, metrics = step(begin, tiny_images()[:8], 0)
        return ravel_pytree(optax.tree.get(after.opt_state, "mu"))[0], metrics, after.kl

    sharded, whole = first_moment(tiny_config()), first_moment(WHOLE)
    np.testing.assert_allclose(sharded[0], whole[0], atol=1e-5)
    np.testing.assert_allclose(sharded[1].nelbo_bpd, whole[1].nelbo_bpd, rtol=1e-5)
    np.testing.assert_allclose(sharded[1].grad_norm, whole[1].grad_norm, rtol=1e-4)
    np.testing.assert_allclose(sharded[2].nats, whole[2].nats, rtol=1e-4)


def test_a_step_depends_on_the_seed_the_step_and_the_images_and_on_nothing_else(begin):
    def after(seed=SEED, number=0, images=None):
        step = Step(tiny_model(), tiny_config(), seed, Alone())
        images = tiny_images()[:8] if images is None else images
        state, metrics = step(begin._replace(step=np.int32(number)), images, 0)
        return bits((state.params, metrics.nelbo_bpd))

    assert after() == after()
    assert after(seed=SEED + 1) != after()
    assert after(number=1) != after()
    assert after(images=tiny_images()[8:16]) != after()


@pytest.mark.parametrize("kind", MODELS)
def test_one_step_gives_the_value_that_it_gave_before(kind):
    model = MODELS[kind]()
    step = Step(model, tiny_config(), SEED, Alone())
    begin = states.place(states.init(model, tiny_config(), SEED))
    random = np.random.default_rng(1)
    images = random.integers(0, model.classes, (8, *model.shape), dtype=model.objective.value_type)
    after, metrics = step(begin, images, 0)
    measured = {
        "nelbo_bpd": float(metrics.nelbo_bpd),
        "grad_norm": float(metrics.grad_norm),
        "ema_norm": float(optax.tree.norm(after.ema)),
        "kl_mean": float(after.kl.nats.mean()),
    }
    assert after.kl.nats.shape == (model.objective.steps,)
    assert measured == pytest.approx(GOLDEN[kind], rel=1e-4), (
        "One training step gives another value than before, so existing runs cannot be "
        "continued. If you meant to change the mathematics, the random draws, the net or the "
        f"optimizer, set GOLDEN[{kind!r}] in {__file__} to {measured} and say so in CHANGELOG.md; "
        "if you did not, a change has an effect that it should not have. A new version of JAX or "
        "Flax may also change how keys are split or parameters are initialized: then update it "
        "together with the lock file."
    )


def test_training_on_one_image_makes_it_likely(begin):
    step, state = Step(tiny_model(), WHOLE, SEED, Alone()), begin
    images = np.repeat(tiny_images()[:1], 8, axis=0)
    nelbo = []
    for _ in range(40):
        state, metrics = step(state, images, 0)
        nelbo.append(float(metrics.nelbo_bpd))
    assert nelbo[0] == pytest.approx(1.0, abs=0.4)
    assert np.mean(nelbo[-5:]) < 0.2


def test_after_a_warm_up_a_step_compiles_nothing(begin):
    work = tiny_work(config=tiny_config(clip=0.7))
    with compilations() as warmed_up:
        warm_up(work)
    assert warmed_up
    with compilations() as programs:
        done = next(train(work, begin, lambda: 0))
    assert int(done.state.step) == 1
    assert programs == []
