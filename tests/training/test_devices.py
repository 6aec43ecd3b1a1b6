"""The flags that a process sets for XLA before it uses a device."""

import os

import pytest

from ardm.training.devices import our_flags, use_cores


def test_xla_is_asked_for_equal_bits_and_the_flags_of_the_user_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=there --xla_gpu_deterministic_ops=false")
    use_cores(2)
    use_cores(2)
    # XLA takes the last of two equal flags: the user's.
    assert os.environ["XLA_FLAGS"].split() == [
        *our_flags(),
        "--xla_dump_to=there",
        "--xla_gpu_deterministic_ops=false",
    ]
