"""Comparison with the definitions, computed for every value with Python's integers."""

import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model.characters import BYTES, TEXT8
from ardm.model.coarsening import Coarsening
from ardm.model.letters import LetterKinds

COARSENINGS = [
    Coarsening(k, b)
    for k, b in [(2, 2), (4, 2), (5, 2), (7, 3), (9, 3), (256, 4), (256, 16), (6, 6)]
]
COARSENINGS += [LetterKinds.of(TEXT8), LetterKinds.of(BYTES)]
every_coarsening = pytest.mark.parametrize("coarsening", COARSENINGS, ids=str)


def every_value(coarsening):
    return jnp.arange(coarsening.classes, dtype=jnp.uint8).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("classes", "branch", "stages"),
    [(2, 2, 1), (3, 2, 2), (256, 2, 8), (256, 4, 4), (256, 16, 2), (256, 256, 1), (243, 3, 5),
     (244, 3, 6), (125, 5, 3)],
)  # fmt: skip
def test_the_stages_are_the_digits_that_suffice(classes, branch, stages):
    """The cases include exact powers, at which a floating-point logarithm may be off by one."""
    assert Coarsening(classes, branch).stages == stages


@every_coarsening
def test_every_stage_adds_its_digit_and_the_last_one_completes_the_value(coarsening):
    x = every_value(coarsening)
    value = jnp.zeros_like(x)
    for stage in range(coarsening.stages):
        np.testing.assert_array_equal(coarsening.previous(x, stage), value)
        value = coarsening.child(value, coarsening.digit(x, stage), stage)
        np.testing.assert_array_equal(coarsening.previous(x, stage + 1), value)
    np.testing.assert_array_equal(value, x)


@pytest.mark.parametrize("coarsening", COARSENINGS[:-2], ids=str)
def test_coarse_values_have_their_lowest_digits_set_to_zero(coarsening):
    x = every_value(coarsening)
    for resolution in range(coarsening.stages + 1):
        unit = coarsening.branch**resolution
        expected = [value - value % unit for value in range(coarsening.classes)]
        assert coarsening.coarse(x, resolution).ravel().tolist() == expected


@every_coarsening
def test_children_are_the_next_values_of_all_that_share_the_previous_one(coarsening):
    x = every_value(coarsening)
    for stage in range(coarsening.stages):
        before, after = (np.asarray(coarsening.previous(x, s)).ravel() for s in (stage, stage + 1))
        for parent in set(before):
            family = set(after[before == parent])
            digits = jnp.arange(coarsening.branch).reshape(-1, 1, 1, 1)
            children = coarsening.child(jnp.full_like(digits, parent), digits, stage)
            assert {int(c) for c in children.ravel() if c < coarsening.classes} == family


def test_each_image_of_a_batch_may_be_at_its_own_stage():
    coarsening = Coarsening(256, 4)
    x = jnp.full((4, 2, 1, 1), 0b11_10_01_10, jnp.uint8)
    stage = jnp.arange(4)
    assert coarsening.digit(x, stage)[:, 0, 0, 0].tolist() == [3, 2, 1, 2]
    assert coarsening.previous(x, stage)[:, 1, 0, 0].tolist() == [
        0,
        0b11000000,
        0b11100000,
        0b11100100,
    ]


@every_coarsening
def test_identities_tell_all_coarse_values_of_all_resolutions_apart(coarsening):
    x = every_value(coarsening)
    seen = {}
    for resolution in range(coarsening.stages + 1):
        coarse = coarsening.coarse(x, resolution).ravel().tolist()
        rows = coarsening.identity(x, resolution).ravel().tolist()
        seen |= {(resolution, value): row for value, row in zip(coarse, rows, strict=True)}
        assert len({r for (level, _), r in seen.items() if level == resolution}) == len(set(coarse))
    assert sorted(seen.values()) == list(range(coarsening.identities))
    np.testing.assert_array_equal(coarsening.identity(x, 0), x)
