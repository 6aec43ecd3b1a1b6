import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.checkpoint.digest import digest
from tests.runner.setting import small_state

TREE = {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": {"x": np.int32(4)}}


def test_equal_trees_have_equal_digests_whatever_the_order_of_their_keys():
    turned = {"a": {"x": np.int32(4)}, "b": TREE["b"].copy()}
    assert digest(turned) == digest(TREE)
    assert len(digest(TREE)) == 64


@pytest.mark.parametrize(
    "other",
    [
        TREE | {"b": TREE["b"].reshape(3, 2)},
        TREE | {"b": TREE["b"].T},
        TREE | {"b": TREE["b"].view(np.int32)},
        TREE | {"b": -TREE["b"]},
        TREE | {"b": TREE["b"].astype(np.float64)},
        TREE | {"a": {"x": np.int64(4)}},
        TREE | {"a": {"y": np.int32(4)}},
        TREE | {"a": {"x": np.array([4], np.int32)}},
        TREE | {"c": np.zeros(0, np.float32)},
        {"b": TREE["b"]},
        {},
    ],
)
def test_any_difference_shows(other):
    assert digest(other) != digest(TREE)


def test_swapped_leaves_show():
    one, two = np.zeros(3), np.ones(3)
    assert digest({"a": one, "b": two}) != digest({"a": two, "b": one})


def test_a_signed_zero_and_the_bits_of_a_nan_show():
    bits = np.array([0x7FC00000, 0x7FC00001], np.uint32).view(np.float32)
    assert digest(np.float32(0.0)) != digest(np.float32(-0.0))
    assert digest(bits[0]) != digest(bits[1])


def test_types_that_numpy_does_not_know_by_itself_are_told_apart():
    raw = np.arange(4, dtype=np.uint8)
    kinds = [jnp.float8_e4m3fn, jnp.float8_e3m4, jnp.float8_e5m2, jnp.int8, jnp.uint8]
    assert len({digest(raw.view(kind)) for kind in kinds}) == len(kinds)
    half = np.arange(4, dtype=np.uint16)
    assert digest(half.view(jnp.bfloat16)) != digest(half.view(np.float16))


def test_it_is_the_same_on_the_device_on_the_host_and_out_of_order_in_memory():
    state = small_state(3)
    assert digest(jax.device_put(state)) == digest(state)
    array = np.arange(6.0).reshape(2, 3)
    assert digest(np.asfortranarray(array)) == digest(array)


def test_a_named_tuple_and_the_dictionary_of_its_fields_are_the_same():
    """A checkpoint that is read without knowing the state comes back as dictionaries and lists."""
    state = small_state(1)
    assert digest(state._asdict()) == digest(state)
    assert digest([1.0, {"a": 2.0}]) == digest((1.0, {"a": 2.0}))
