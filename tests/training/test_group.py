import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.training.group import MESSAGE_BYTES, Alone, Processes
from tests.training.setting import bits, together


@pytest.mark.parametrize("kind", [Alone, Processes])
def test_a_group_of_one_gathers_its_own_tree_with_one_more_axis(kind):
    group = kind()
    tree = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.int32(7)}
    assert (group.rank, group.size) == (0, 1)
    gathered = group.gather(tree)
    assert {k: v.shape for k, v in gathered.items()} == {"a": (1, 2, 3), "b": (1,)}
    assert bits(jax.tree.map(lambda x: x[0], gathered)) == bits(tree)


@pytest.mark.parametrize("kind", [Alone, Processes])
@pytest.mark.parametrize("length", [0, 1, 255, 256, MESSAGE_BYTES])
def test_a_message_arrives_as_it_was_sent(kind, length):
    message = np.random.default_rng(length).bytes(length)
    assert kind().broadcast(message) == message


def test_a_message_that_is_too_long_is_refused_before_anybody_waits_for_it():
    with pytest.raises(ValueError, match=str(MESSAGE_BYTES + 1)):
        Processes().broadcast(b"x" * (MESSAGE_BYTES + 1))


def test_the_group_of_threads_that_these_tests_use_stacks_in_the_order_of_the_ranks():
    gathered = together(4, lambda member: member.gather(jnp.int32(member.rank * 10)))
    assert [list(np.asarray(found)) for found in gathered] == [[0, 10, 20, 30]] * 4
