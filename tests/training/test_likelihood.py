import jax
import numpy as np
import pytest

from ardm.model import draws, policy
from ardm.model.evaluation import log_likelihood
from ardm.training import likelihood
from ardm.training.likelihood import Likelihood
from ardm.training.state import seed_key
from tests.training.setting import tiny_images, tiny_model
from tests.training.test_evaluate import lively

pytestmark = pytest.mark.slow


MODEL = tiny_model()
PARAMS = lively(MODEL)
IMAGES = tiny_images(6)
SEQUENTIAL = policy.uniform(16, 16)


@pytest.fixture(scope="module")
def log_p():
    """Of every order and image."""
    key = jax.random.fold_in(seed_key(1), likelihood.EXACT)
    chosen = [draws.fixed("random", jax.random.fold_in(key, i), (4, 4, 1)) for i in range(3)]
    assert not np.array_equal(chosen[0], chosen[1])
    predict = MODEL.bind(PARAMS)
    return np.stack(
        [
            log_likelihood(
                predict, IMAGES, order[None], SEQUENTIAL, objective=MODEL.objective, batch=6
            )
            for order in chosen
        ]
    )


@pytest.fixture(scope="module")
def exact():
    return Likelihood(MODEL, PARAMS, 1, IMAGES, SEQUENTIAL).compute(3)


def test_each_order_has_its_mean_over_the_images_and_its_error(exact, log_p):
    assert (len(exact.orders), exact.images, exact.calls) == (3, 6, 16)
    for score, row in zip(exact.orders, log_p, strict=True):
        assert score.nll_nats == pytest.approx(-row.mean())
        assert score.se_nats == pytest.approx(row.std(ddof=1) / np.sqrt(6))


def test_the_ensemble_is_the_mean_of_the_likelihoods_of_each_image(exact, log_p):
    together = -np.log(np.exp(log_p).mean(axis=0))
    assert exact.ensemble.nll_nats == pytest.approx(together.mean())
    assert exact.ensemble.se_nats == pytest.approx(together.std(ddof=1) / np.sqrt(6))
    assert exact.mean.nll_nats == pytest.approx(-log_p.mean())
    # Jensen's inequality, which is strict if the likelihoods of the orders differ.
    assert exact.ensemble.nll_nats < exact.mean.nll_nats


def test_bits_per_dimension_are_nats_over_d_ln_2(exact):
    for score in (*exact.orders, exact.mean, exact.ensemble):
        assert score.nll_nats == pytest.approx(score.nll_bpd * 16 * np.log(2))
        assert score.se_nats == pytest.approx(score.se_bpd * 16 * np.log(2))


def test_more_orders_begin_with_the_same_ones_and_each_is_reported(exact):
    reports = []
    likelihood = Likelihood(MODEL, PARAMS, 1, IMAGES, SEQUENTIAL)
    one = likelihood.compute(1, tell=lambda *now: reports.append(now))
    assert one.orders[0] == exact.orders[0]
    assert reports == [(1, one.orders[0])]
    assert one.ensemble == pytest.approx(one.orders[0])
    assert one.mean == pytest.approx(one.orders[0])


def test_a_single_image_has_no_standard_error_and_a_policy_fewer_calls():
    exact = Likelihood(MODEL, PARAMS, 1, IMAGES[:1], policy.uniform(16, 3)).compute(2)
    assert (exact.ensemble.se_bpd, exact.images, exact.calls) == (0.0, 1, 3)


def test_the_first_orders_are_worth_something_together(exact, log_p):
    assert [one.orders for one in exact.together] == [1, 2, 3]
    assert exact.together[0].ensemble == exact.together[0].best == exact.orders[0]
    assert exact.together[-1].ensemble == exact.ensemble
    for one in exact.together:
        first_orders = log_p[: one.orders]
        ensemble = -np.log(np.exp(first_orders).mean(axis=0)).mean()
        assert one.ensemble.nll_nats == pytest.approx(ensemble)
        best = -first_orders.max(axis=0).mean() + np.log(one.orders)
        assert one.best.nll_nats == pytest.approx(best)
        # The best of k likelihoods is at most their sum, which is k times the ensemble's.
        assert one.ensemble.nll_nats <= one.best.nll_nats + 1e-9


@pytest.mark.parametrize("starts", [SEQUENTIAL, policy.uniform(16, 3), policy.uniform(16, 1)])
def test_every_call_is_counted_and_the_time_of_one_is_estimated(starts):
    calls = []
    likelihood = Likelihood(MODEL, PARAMS, 1, IMAGES, starts)
    assert likelihood.calls == len(starts)
    assert likelihood.seconds() > 0.0
    likelihood.compute(2, called=lambda: calls.append(None))
    assert len(calls) == 2 * likelihood.calls


def test_several_devices_share_the_images_and_give_the_same(exact, monkeypatch):
    assert len(jax.local_devices()) > 1
    monkeypatch.setattr(likelihood, "chunk_size", lambda: 2)
    shared = Likelihood(MODEL, PARAMS, 1, IMAGES, SEQUENTIAL)
    assert shared.devices == 2
    assert shared.calls == 3 * 16
    again = shared.compute(3)
    for one, other in zip(again.orders, exact.orders, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
