"""Damage to the files of a checkpoint."""

from collections import Counter

import pytest

from ardm.chaos.faults import damage_file, pick_byte
from ardm.chaos.targets import NoTarget
from ardm.store.store import Store


def test_every_byte_is_selected_with_equal_probability():
    sizes = {"b": 3, "a": 2, "empty": 0}
    picks = [pick_byte(sizes, (i + 0.5) / 500) for i in range(500)]
    assert Counter(picks) == {(name, at): 100 for name in "ab" for at in range(sizes[name])}


def test_an_empty_checkpoint_is_no_target():
    with pytest.raises(NoTarget):
        pick_byte({}, 0.5)


@pytest.mark.parametrize(
    ("how", "left"),
    [("truncate", bytes(70)), ("flip", bytes(70) + b"\x10" + bytes(29)), ("remove", None)],
)
def test_a_file_is_truncated_flipped_or_removed(store_uri, how, left):
    store = Store(store_uri)
    store.write("file", bytes(100))
    damage_file(store.fs, store.path("file"), how, 70)
    assert store.read("file") == left
