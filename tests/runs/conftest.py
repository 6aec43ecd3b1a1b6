"""A tiny job, the runs made of it, and one compilation cache for all of them."""

import jax
import jax.numpy as jnp
import pytest

from ardm.runs.compilation import share_cache
from ardm.runs.layout import Run
from ardm.runs.place import Notice, Place
from ardm.runs.session import run_attempt
from ardm.runs.spec import JobSpec
from ardm.runs.store import Store
from ardm.training.group import Alone
from tests.runs.setting import opened, tiny_spec


@pytest.fixture
def spec() -> JobSpec:
    return tiny_spec()


@pytest.fixture
def run(store_uri: str) -> Run:
    """A new run of the tiny job, once in a directory and once in a bucket."""
    return opened(store_uri)


@pytest.fixture
def local_run(tmp_path) -> Run:
    """A new run of the tiny job in a directory."""
    return opened(str(tmp_path / "runs"))


@pytest.fixture(scope="session", autouse=True)
def shared_store(tmp_path_factory) -> str:
    """A directory of runs whose compilation cache this process and those that it starts share.

    JAX opens its cache once and for all, so the caches of other stores are not used.
    """
    uri = str(tmp_path_factory.mktemp("shared"))
    share_cache(Store(uri))
    jax.jit(lambda x: x + 1)(jnp.zeros(3))
    return uri


@pytest.fixture(scope="session")
def finished(shared_store: str) -> Run:
    """The tiny job trained without interruption; nobody may change it."""
    run = opened(shared_store, "finished")
    assert run_attempt(run, tiny_spec(), Place(Alone(), Notice())).kind == "completed"
    return run
