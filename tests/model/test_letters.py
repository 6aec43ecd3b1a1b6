import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model import policy
from ardm.model.characters import BYTES, TEXT8, kinds
from ardm.model.config import UpscaleConfig
from ardm.model.evaluation import log_likelihood
from ardm.model.letters import LetterKinds
from ardm.model.sampling import sample
from tests.model.tiny import tiny_params, tiny_transformer

LETTERS = [LetterKinds.of(TEXT8), LetterKinds.of(BYTES)]


def every_value(letters):
    return jnp.arange(letters.classes, dtype=jnp.uint8).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("letters", LETTERS, ids=str)
def test_the_coarse_value_of_a_character_is_the_first_of_its_kind(letters):
    kind = kinds(letters.classes)
    coarse = letters.coarse(every_value(letters), 1).ravel().tolist()
    assert coarse == [kind.index(own) for own in kind]
    assert (letters.coarse(every_value(letters), 2) == 0).all()


def test_the_kinds_of_characters():
    kind = kinds(TEXT8)
    assert [len([k for k in kind if k == n]) for n in range(3)] == [1, 5, 21]
    assert LetterKinds.of(TEXT8).branch == 21
    of_bytes = kinds(BYTES)
    for alike in (b" \n\t", b"aeIO", b"xyZ", b"0189", b".,;_-\x07", "ü€".encode()):
        assert len({of_bytes[character] for character in alike}) == 1
    assert len({of_bytes[character] for character in b" ax1." + b"\xff"}) == 6


def letter_model(length, **upscale):
    config = UpscaleConfig(levels="letters", **upscale)
    return tiny_transformer(length, TEXT8, objective="upscale", upscale=config)


@pytest.mark.slow
@pytest.mark.parametrize(
    "upscale", [{}, {"mode": "augment"}, {"parametrisation": "direct"}], ids=str
)
def test_the_likelihoods_of_all_characters_sum_to_one(upscale):
    model = letter_model(1, **upscale)
    x = np.asarray(every_value(LETTERS[0]))
    log_p = log_likelihood(
        model.bind(tiny_params(model)),
        x,
        np.zeros((2, 1, 1, 1), int),
        np.array([0, 1]),
        objective=model.objective,
    )
    assert np.exp(log_p).sum() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.slow
def test_texts_are_generated_from_kinds_to_characters():
    model = letter_model(5)
    samples = sample(
        model.bind(tiny_params(model)),
        jax.random.key(1),
        8,
        policy.uniform(5, 10, 2),
        objective=model.objective,
        keep_chain=True,
    )
    assert samples.images.max() < TEXT8
    kind = np.array(kinds(TEXT8))
    first = [int(np.flatnonzero(kind == own)[0]) for own in range(3)]
    after_kinds = samples.chain[5]
    assert set(np.unique(after_kinds)) <= set(first)
    np.testing.assert_array_equal(kind[after_kinds], kind[samples.images])
