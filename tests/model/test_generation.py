import jax
import numpy as np
import pytest

from ardm.model import generation, policy, upscale_sampling
from ardm.model.sampling import sample
from tests.model.tiny import tiny_model, tiny_params

KEY = jax.random.key(2)
MODELS = [
    {},
    {"channels": 3, "classes": 4, "output": "logistic_mixture", "components": 2},
    {"channels": 3, "classes": 4, "output": "rgb_mixture", "components": 2},
    {"classes": 4, "objective": "upscale", "upscale": {"branch": 2}},
]


@pytest.mark.parametrize("options", MODELS, ids=str)
def test_a_model_of_any_kind_generates_images_of_its_classes(options):
    model = tiny_model(**options)
    starts = generation.uniform(model, generation.nearest_budget(model, 1))
    assert len(starts) == model.objective.stages
    made = generation.generate(model, tiny_params(model), KEY, 3, starts, batch=2, keep_chain=True)
    assert made.images.shape == (3, *model.shape)
    assert made.images.max() < model.classes
    np.testing.assert_array_equal(made.chain[-1], made.images)


def test_each_objective_has_its_own_sampler():
    oa, upscale = tiny_model(), tiny_model(**MODELS[3])
    starts = policy.uniform(4, 2)
    made = generation.generate(oa, tiny_params(oa), KEY, 2, starts)
    expected = sample(oa.bind(tiny_params(oa)), KEY, 2, oa.shape, starts, output=oa.output)
    np.testing.assert_array_equal(made.images, expected.images)

    starts, predict = upscale_sampling.uniform(upscale.objective, 4), tiny_params(upscale)
    made = generation.generate(upscale, predict, KEY, 2, starts)
    expected = upscale_sampling.sample(
        upscale.bind(predict), KEY, 2, starts, objective=upscale.objective
    )
    np.testing.assert_array_equal(made.images, expected.images)


@pytest.mark.parametrize(("wished", "found"), [(1, 2), (5, 5), (100, 8)])
def test_the_nearest_budget_is_within_bounds(wished, found):
    assert generation.nearest_budget(tiny_model(**MODELS[3]), wished) == found
