import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from ardm.errors import SpecError
from ardm.model.build import build
from ardm.model.config import ModelConfig
from ardm.model.net_config import UNetConfig
from tests.model.tiny import random_images, tiny_model, tiny_params


def test_a_model_that_does_not_fit_is_refused_with_all_faults():
    net = UNetConfig(multipliers=(1, 1, 1, 1), groups=5, attention=())
    with pytest.raises(SpecError) as caught:
        build(ModelConfig(net=net), (28, 28, 1), 2)
    assert len(caught.value.faults) == 2


@pytest.mark.slow
def test_shapes_are_known_without_initializing():
    model = tiny_model(side=4, levels=2)
    params = model.init(jax.random.key(0))
    assert jax.tree.map(lambda a: (a.shape, a.dtype), model.shapes) == jax.tree.map(
        lambda a: (a.shape, a.dtype), params
    )
    assert model.param_count == sum(leaf.size for leaf in jax.tree.leaves(params))


def test_unraveling_undoes_raveling_on_the_device_and_on_the_host():
    model = tiny_model(side=4, levels=2)
    params = tiny_params(model)
    flat, _ = ravel_pytree(params)
    for unraveled in (model.unravel(flat), model.unravel(np.asarray(flat))):
        assert jax.tree.structure(unraveled) == jax.tree.structure(params)
        jax.tree.map(np.testing.assert_array_equal, unraveled, params)


def test_parameters_are_a_tree_of_dictionaries_with_names():
    params = tiny_model(side=4, levels=2).init(jax.random.key(0))
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        assert all(isinstance(entry, jax.tree_util.DictKey) for entry in path)
        assert all(isinstance(entry.key, str) for entry in path)
        assert isinstance(leaf, jax.Array)
        assert leaf.dtype == jnp.float32


def test_initial_parameters_are_a_function_of_the_key():
    model = tiny_model()
    same = jax.tree.map(
        np.array_equal, model.init(jax.random.key(1)), model.init(jax.random.key(1))
    )
    assert all(jax.tree.leaves(same))
    other = jax.tree.map(
        np.array_equal, model.init(jax.random.key(1)), model.init(jax.random.key(2))
    )
    assert not all(jax.tree.leaves(other))


def test_a_bound_model_compiles_once_for_all_parameters():
    model = tiny_model()
    x = random_images(model, 2)
    mask, t = jnp.zeros(x.shape, bool), jnp.zeros(2, int)
    traces = []

    @jax.jit
    def run(predict):
        traces.append(1)
        return predict(x, mask, t)

    first = run(model.bind(tiny_params(model, 0)))
    second = run(tiny_model().bind(tiny_params(model, 1)))
    assert len(traces) == 1
    assert not np.array_equal(first, second)


def test_equal_models_are_equal_keys():
    assert tiny_model() == tiny_model()
    assert hash(tiny_model()) == hash(tiny_model())
    assert tiny_model() != tiny_model(classes=3)
    assert (tiny_model(channels=2).D, tiny_model(classes=3).K) == (8, 3)
