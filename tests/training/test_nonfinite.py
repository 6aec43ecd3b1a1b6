"""Steps whose loss, gradient or new state is not finite, through the real loop."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ardm.checkpoint.digest import not_finite_part
from ardm.errors import Diverged
from ardm.training import loop
from ardm.training.group import Alone
from ardm.training.loop import train
from ardm.training.state import init, is_finite, place
from ardm.training.step import Step
from tests.training.setting import (
    SEED,
    bits,
    tiny_config,
    tiny_images,
    tiny_model,
    tiny_work,
    together,
)

pytestmark = pytest.mark.slow


DIVERGES = tiny_config(learning_rate=1e30, clip=None)
SOME = tiny_config(learning_rate=1e-5, clip=None, ce_weight=1.7e19, steps=12, on_nonfinite="skip")
"""With this `ce_weight` the norms of some gradients overflow, and those of others do not."""


@pytest.fixture(scope="module")
def begin():
    return place(init(tiny_model(), tiny_config(), SEED))


def done_by(group, config, state, ahead=None):
    """The steps that the loop yields, and the message of the error that ends it, or None."""
    done = []
    try:
        for step_done in train(tiny_work(group, config), state, lambda: 0, ahead):
            done.append(step_done)
    except Diverged as error:
        return done, str(error)
    return done, None


@pytest.mark.parametrize(("size", "ahead"), [(1, 0), (1, 2), (2, 0), (2, 2)])
def test_a_run_that_diverges_ends_on_all_workers_at_the_same_step(begin, size, ahead):
    for done, error in together(size, lambda member: done_by(member, DIVERGES, begin, ahead)):
        assert [step_done.step for step_done in done] == [1]
        assert is_finite(done[-1].state)
        assert error.startswith("step 2: the loss or the gradient is not finite (loss nan bits/dim")
        assert "gradient norm nan" in error
        assert "training.on_nonfinite=skip" in error


def test_a_step_left_out_changes_nothing_but_the_number_of_the_step(begin):
    done, error = done_by(Alone(), SOME, begin)
    assert error is None
    assert [step_done.step for step_done in done] == list(range(1, SOME.steps + 1))
    finite = [step_done.finite for step_done in done]
    assert 0 < finite.count(False) < SOME.steps, "change ce_weight of SOME"
    before = begin
    for step_done in done:
        assert is_finite(step_done.state)
        assert int(step_done.state.step) == step_done.step
        assert step_done.finite == bool(np.isfinite(step_done.metrics.grad_norm))
        unchanged = bits(step_done.state._replace(step=before.step)) == bits(before)
        assert unchanged == (not step_done.finite)
        before = step_done.state


def test_steps_left_out_are_the_same_for_two_workers_and_after_a_restart(begin):
    alone, _ = done_by(Alone(), SOME, begin)
    for of_worker, _ in together(2, lambda member: done_by(member, SOME, begin)):
        assert [step_done.finite for step_done in of_worker] == [
            step_done.finite for step_done in alone
        ]
        assert bits(of_worker[-1].state) == bits(alone[-1].state)
    middle = place(jax.device_get(alone[5].state))
    assert bits(done_by(Alone(), SOME, middle)[0][-1].state) == bits(alone[-1].state)


def test_too_many_steps_left_out_in_a_row_end_the_run(begin, monkeypatch):
    monkeypatch.setattr(loop, "MOST_SKIPPED", 3)
    config = tiny_config(learning_rate=1e30, clip=None, on_nonfinite="skip")
    done, error = done_by(Alone(), config, begin)
    assert [step_done.finite for step_done in done] == [True, False, False]
    assert error.startswith("step 4: ")
    assert "the 2 steps before it" in error


def poisoned(state, part: str, value: float):
    """The state with one number of a part replaced by `value`."""
    if part == "kl":
        return state._replace(kl=state.kl._replace(nats=state.kl.nats.at[0].set(value)))
    if part in ("mu", "nu"):
        moment = optax.tree.get(state.opt_state, part).at[-1].set(value)
        return state._replace(opt_state=optax.tree.set(state.opt_state, **{part: moment}))
    return state._replace(**{part: getattr(state, part).at[-1].set(value)})


@pytest.mark.parametrize("part", ["params", "ema", "mu", "nu", "kl"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_every_part_of_the_new_state_is_looked_at(begin, part, value):
    bad = poisoned(begin, part, value)
    assert not_finite_part(jax.device_get(begin)) is None
    assert part in not_finite_part(jax.device_get(bad))
    step = Step(tiny_model(), tiny_config(), SEED, Alone())
    after, metrics = step(bad, tiny_images()[:8], 0)
    assert not metrics.finite
    assert bits(after._replace(step=bad.step)) == bits(bad)
    assert int(after.step) == 1


def test_integers_and_half_floats_count_as_what_they_are():
    tree = {"n": jnp.int32(7), "half": jnp.ones(3, jnp.bfloat16)}
    assert is_finite(tree)
    worse = tree | {"half": tree["half"].at[1].set(jnp.inf)}
    assert not is_finite(worse)
    assert not_finite_part(jax.device_get(worse)) == "half"
