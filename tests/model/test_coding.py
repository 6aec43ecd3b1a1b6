"""The walk of encoder and decoder, with a coder that keeps the values in a list."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardm.model import draws, policy
from ardm.model.coding import Examples, canary, counts, total, transcode
from ardm.model.evaluation import log_likelihood
from tests.model.tiny import random_images, tiny_model, tiny_params, tiny_transformer

pytestmark = pytest.mark.slow

MODELS = {
    "categorical": tiny_model(3, classes=3),
    "logistic": tiny_model(3, classes=7, output="logistic_mixture", components=2),
    "rgb": tiny_model(2, channels=3, classes=5, output="rgb_mixture", components=2),
    "upscale": tiny_model(2, classes=7, objective="upscale", upscale={"branch": 3}),
    "text": tiny_transformer(7, 4),
    "permuted": tiny_transformer(7, 4, objective="permuted"),
    "autoregressive": tiny_transformer(7, 4, objective="autoregressive"),
}


class Tape:
    """Keeps values, and what they cost in nats; then gives them back in the same order."""

    def __init__(self) -> None:
        self.values: list[np.ndarray] = []
        self.seen: list[np.ndarray] = []
        self.nats = 0.0

    def write(self, table, values):
        assert table.min() > 0
        assert (table.sum(axis=1) == total(table.shape[1])).all()
        self.nats -= np.log(table[np.arange(len(values)), values] / total(table.shape[1])).sum()
        self.values.append(values)
        self.seen.append(table)
        return values

    def read(self, table, values):
        assert values is None
        np.testing.assert_array_equal(table, self.seen.pop(0))
        return self.values.pop(0)


def examples_of(model, num, seed=1, length=None):
    objective = model.objective
    keys = jax.random.split(jax.random.key(seed), num)
    by_stage = [
        objective.orders(objective.stage_keys(keys, stage)) for stage in range(objective.stages)
    ]
    wanted = np.ones((num, *objective.shape), bool)
    if length is not None:
        wanted[-1, length:] = False
    x = np.array(random_images(model, num, seed), objective.value_type)
    return Examples(np.stack(by_stage, axis=1), wanted, np.where(wanted, x, 0).astype(x.dtype))


def starts_of(model, budget):
    objective = model.objective
    if not objective.several_per_call:
        budget = objective.steps
    return policy.uniform(objective.D, max(budget, objective.stages), objective.stages)


@pytest.mark.parametrize("kind", MODELS)
def test_a_decoder_computes_the_same_counts_and_finds_the_values(kind):
    model = MODELS[kind]
    examples, tape = examples_of(model, 5), Tape()
    walk = {
        "predict": model.bind(tiny_params(model)),
        "starts": starts_of(model, 4),
        "objective": model.objective,
        "batch": 2,
    }
    written = transcode(code=tape.write, examples=examples, **walk)
    np.testing.assert_array_equal(written, examples.values)
    read = transcode(code=tape.read, examples=examples._replace(values=None), **walk)
    np.testing.assert_array_equal(read, examples.values)
    assert not tape.values


@pytest.mark.parametrize("kind", MODELS)
def test_the_cost_is_the_exact_likelihood(kind):
    model = MODELS[kind]
    predict, starts = model.bind(tiny_params(model)), starts_of(model, 4)
    examples, tape = examples_of(model, 3), Tape()
    shared = examples._replace(sigma=np.repeat(examples.sigma[:1], 3, axis=0))
    transcode(predict, tape.write, shared, starts, objective=model.objective, batch=4)
    log_p = log_likelihood(
        predict, shared.values, shared.sigma[0], starts, objective=model.objective
    )
    assert tape.nats == pytest.approx(-log_p.sum(), rel=2e-3)


@pytest.mark.parametrize("kind", ["text", "permuted", "autoregressive"])
def test_what_is_not_wanted_is_not_coded(kind):
    model = MODELS[kind]
    tape, examples = Tape(), examples_of(model, 3, length=2)
    walk = {"starts": starts_of(model, 3), "objective": model.objective, "batch": 2}
    predict = model.bind(tiny_params(model))
    written = transcode(predict, tape.write, examples, **walk)
    assert sum(map(len, tape.values)) == 7 + 7 + 2
    np.testing.assert_array_equal(written, examples.values)
    read = transcode(predict, tape.read, examples._replace(values=None), **walk)
    np.testing.assert_array_equal(read, examples.values)


def test_no_examples_are_coded_as_nothing():
    model = MODELS["text"]
    none = Examples(np.zeros((0, 1, 7, 1, 1), int), np.zeros((0, 7, 1, 1), bool), None)
    found = transcode(
        model.bind(tiny_params(model)), Tape().read, none, np.arange(7), objective=model.objective,
        batch=2,
    )  # fmt: skip
    assert found.shape == (0, 7, 1, 1)


@given(st.sampled_from([2, 3, 16, 17, 256, 300]), st.floats(0.01, 50.0), st.integers(0, 100))
def test_counts_are_positive_and_close_to_the_probabilities(classes, spread, seed):
    logits = spread * np.random.default_rng(seed).standard_normal((1, 1, classes))
    found = np.asarray(jax.jit(counts)(jnp.asarray(logits, jnp.float32)))[0, 0]
    assert found.min() >= 1
    assert found.sum() == total(classes)
    p = np.exp(logits[0, 0] - np.logaddexp.reduce(logits[0, 0]))
    np.testing.assert_allclose(
        found / total(classes), p, atol=1.1 * classes / total(classes) + 1e-6
    )


def test_the_counts_of_65_536_classes_fit():
    found = np.asarray(counts(jnp.zeros((1, 1, 65_536)).at[0, 0, 5].set(30.0)))
    assert found.min() == 1
    assert found.sum() == total(65_536)


@pytest.mark.parametrize("kind", MODELS)
def test_the_canary_depends_on_the_parameters_alone(kind):
    model = MODELS[kind]
    one, again = (canary(model.bind(tiny_params(model)), model.objective, 2) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    other = canary(model.bind(tiny_params(model, seed=1)), model.objective, 2)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("kind", ["categorical", "logistic", "rgb"])
def test_class_log_probs_are_those_of_log_prob(kind):
    model = MODELS[kind]
    output, x = model.output, random_images(model, 2)
    sigma = model.objective.orders(jax.random.split(jax.random.key(3), 2))
    t = jnp.array([1, 2])
    parameters = model.predict(tiny_params(model), x, draws.visible(sigma, t), t)
    dims = jnp.broadcast_to(jnp.arange(model.D), (2, model.D))
    flat = np.asarray(x).reshape(2, model.D, -1)
    found = 0.0
    for part in range(model.objective.channels_per_entry):
        each = jax.nn.log_softmax(output.class_log_prob(parameters, x, dims, part), axis=-1)
        found = found + np.take_along_axis(np.asarray(each), flat[..., part, None], -1)[..., 0]
    expected = output.log_prob(parameters, x).reshape(2, model.D)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
