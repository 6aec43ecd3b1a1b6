import re

import pytest

from ardm.errors import InputError
from ardm.job.spec import NAME
from ardm.store.run_directory import Run, shared_cache
from ardm.store.store import Store


@pytest.mark.parametrize("name", ["a", "binmnist-1124-0915", "a_b", "0"])
def test_a_plain_name_is_accepted(name, tmp_path):
    assert Run(Store(str(tmp_path)), name).uri == f"{tmp_path}/{name}"


@pytest.mark.parametrize(
    "name", ["", "A", "a/b", "..", ".a", "a-", "-a", "_shared", "a b", "a\n", "a" * 101]
)
def test_a_name_that_could_lead_elsewhere_is_refused(name, tmp_path):
    with pytest.raises(InputError, match="lower-case letters"):
        Run(Store(str(tmp_path)), name)


def test_only_claims_count_as_attempts(run):
    assert run.attempts() == []
    for name in ("000010.json", "000002.json", "000002.stop", "000003.json.4f", "x.json", "7.json"):
        run.store.write(f"{run.attempts_dir}/{name}", b"{}")
    assert run.attempts() == [2, 10]


def test_what_runs_share_is_no_run(tmp_path):
    store = Store(str(tmp_path))
    first = shared_cache(store, "data").removeprefix(f"{tmp_path}/").split("/")[0]
    assert not re.match(NAME, first)
