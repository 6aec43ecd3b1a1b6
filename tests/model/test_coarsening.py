"""Against the definitions, written out for every value with Python's integers."""

import jax.numpy as jnp
import numpy as np
import pytest

from ardm.model.coarsening import Coarsening

LADDERS = [
    Coarsening(k, b)
    for k, b in [(2, 2), (4, 2), (5, 2), (7, 3), (9, 3), (256, 4), (256, 16), (6, 6)]
]
every_ladder = pytest.mark.parametrize("ladder", LADDERS, ids=str)


def every_value(ladder):
    return jnp.arange(ladder.classes, dtype=jnp.uint8).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("classes", "branch", "stages"),
    [(2, 2, 1), (3, 2, 2), (256, 2, 8), (256, 4, 4), (256, 16, 2), (256, 256, 1), (243, 3, 5),
     (244, 3, 6), (125, 5, 3)],
)  # fmt: skip
def test_the_stages_are_the_digits_that_suffice(classes, branch, stages):
    """Exact powers too, at which a logarithm in floating point may be off by one."""
    assert Coarsening(classes, branch).stages == stages


@every_ladder
def test_every_stage_adds_its_digit_and_the_last_one_completes_the_value(ladder):
    x = every_value(ladder)
    value = jnp.zeros_like(x)
    for stage in range(ladder.stages):
        np.testing.assert_array_equal(ladder.previous(x, stage), value)
        value = ladder.child(value, ladder.digit(x, stage), stage)
        np.testing.assert_array_equal(ladder.previous(x, stage + 1), value)
    np.testing.assert_array_equal(value, x)


@every_ladder
def test_coarse_values_have_their_lowest_digits_set_to_zero(ladder):
    x = every_value(ladder)
    for resolution in range(ladder.stages + 1):
        unit = ladder.branch**resolution
        expected = [value - value % unit for value in range(ladder.classes)]
        assert ladder.coarse(x, resolution).ravel().tolist() == expected


@every_ladder
def test_children_are_the_next_values_of_all_that_share_the_previous_one(ladder):
    x = every_value(ladder)
    for stage in range(ladder.stages):
        before, after = (np.asarray(ladder.previous(x, s)).ravel() for s in (stage, stage + 1))
        for parent in set(before):
            family = set(after[before == parent])
            digits = jnp.arange(ladder.branch).reshape(-1, 1, 1, 1)
            children = ladder.child(jnp.full_like(digits, parent), digits, stage)
            assert {int(c) for c in children.ravel() if c < ladder.classes} == family


def test_each_image_of_a_batch_may_be_at_its_own_stage():
    ladder = Coarsening(256, 4)
    x = jnp.full((4, 2, 1, 1), 0b11_10_01_10, jnp.uint8)
    stage = jnp.arange(4)
    assert ladder.digit(x, stage)[:, 0, 0, 0].tolist() == [3, 2, 1, 2]
    assert ladder.previous(x, stage)[:, 1, 0, 0].tolist() == [0, 0b11000000, 0b11100000, 0b11100100]


@every_ladder
def test_identities_tell_all_coarse_values_of_all_resolutions_apart(ladder):
    x = every_value(ladder)
    seen = {}
    for resolution in range(ladder.stages + 1):
        coarse = ladder.coarse(x, resolution).ravel().tolist()
        rows = ladder.identity(x, resolution).ravel().tolist()
        seen |= {(resolution, value): row for value, row in zip(coarse, rows, strict=True)}
        assert len({r for (level, _), r in seen.items() if level == resolution}) == len(set(coarse))
    assert sorted(seen.values()) == list(range(ladder.identities))
    np.testing.assert_array_equal(ladder.identity(x, 0), x)
