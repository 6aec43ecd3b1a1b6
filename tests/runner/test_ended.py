import aiohttp
import gcsfs.retry
import jax
import pytest

from ardm.errors import (
    DataUnreachable,
    Diverged,
    InputError,
    JobFailed,
    SaveFailed,
    StoreUnusable,
    Superseded,
)
from ardm.events.events import Outcome
from ardm.runner.context import Ended, of_error, to_error

ALONE, GROUP = 1, 4


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as same:
        return same


@pytest.mark.parametrize(
    ("error", "group", "kind"),
    [
        (Superseded("attempt 1 is superseded"), ALONE, "superseded"),
        (SaveFailed("step 3 could not be saved"), ALONE, "save_failed"),
        (Diverged("step 3: the loss is not finite"), GROUP, "diverged"),
        (InputError("the data are damaged"), ALONE, "bad_input"),
        (StoreUnusable("no bucket"), ALONE, "bad_input"),
        (DataUnreachable("no answer"), ALONE, "storage_fault"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 8 GB"), ALONE, "out_of_memory"),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 8 GB"), GROUP, "out_of_memory"),
        (jax.errors.JaxRuntimeError("UNAVAILABLE: peer closed"), GROUP, "worker_lost"),
        (jax.errors.JaxRuntimeError("INTERNAL: bad program"), ALONE, "failed"),
        (MemoryError(), GROUP, "out_of_memory"),
        (ConnectionResetError("reset"), ALONE, "storage_fault"),
        (OSError("disk full"), GROUP, "storage_fault"),
        (gcsfs.retry.HttpError({"code": 503, "message": "try later"}), ALONE, "storage_fault"),
        (aiohttp.ServerDisconnectedError(), ALONE, "storage_fault"),
        (ValueError("shapes differ"), ALONE, "failed"),
        (ZeroDivisionError(), GROUP, "failed"),
        (AssertionError("lines\nof\ntext"), GROUP, "failed"),
    ],
)
def test_an_error_is_taken_for_what_it_means(error, group, kind):
    found = of_error(caught(error), 7, group)
    assert (found.outcome, found.step) == (kind, 7)
    assert found.reason
    if kind == "failed":
        assert "\n" not in found.reason
        assert found.reason.startswith(type(error).__name__)
        assert "in caught" in found.detail


@pytest.mark.parametrize("kind", list(Outcome))
def test_every_outcome_but_the_complete_one_is_an_error_of_the_command_line(kind):
    error = to_error(Ended(kind, 7, "why", "Traceback"))
    if kind == "completed":
        assert error is None
        return
    assert "why" in str(error)
    assert isinstance(error, Superseded if kind == "superseded" else JobFailed | InputError)


def test_data_that_cannot_be_used_end_the_command_as_any_bad_input():
    error = to_error(of_error(caught(InputError("x.png is no image")), 0, ALONE))
    assert isinstance(error, InputError)
    assert (str(error), error.exit_code) == ("x.png is no image", 2)
