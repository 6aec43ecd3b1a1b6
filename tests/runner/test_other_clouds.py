"""Stores on S3 and on Azure: the same chain, against real servers of their protocols."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ardm.checkpoint import checkpoints
from ardm.cli.main import app
from ardm.errors import StoreUnusable
from ardm.events import kinds
from ardm.store import claims
from ardm.store.run_directory import Run
from ardm.store.store import Store
from tests import clouds
from tests.runner.setting import JOB, events, newest_digest

ARDM = Path(sys.executable).with_name("ardm")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=["s3", "az"])
def kind(request):
    with clouds.serve(request.param):
        yield request.param


@pytest.fixture
def store(kind):
    return Store(f"{clouds.make_bucket(kind)}/runs")


def test_a_store_there_does_all_that_a_store_does(store, tmp_path):
    store.check()
    assert store.is_there()
    store.create("r/a", b"1")
    with pytest.raises(FileExistsError):
        store.create("r/a", b"2")
    store.write("r/b", b"old")
    store.write("r/b", b"2")
    store.write("r/c/d", b"33", lasting=True)
    assert store.names("r") == ["a", "b", "c"]
    assert store.names("none") == []
    assert store.names_of(["r", "none"]) == {"r": ["a", "b", "c"], "none": []}
    assert store.files("r") == {"a": 1, "b": 1, "c/d": 2}
    assert store.read("r/none") is None
    assert store.read_many(["r/a", "r/none", "r/c/d"]) == {"r/a": b"1", "r/c/d": b"33"}
    assert abs(store.age("r/a")) < 100
    store.move_tree("r", "q/r")
    assert (store.files("q"), store.files("r")) == ({"r/a": 1, "r/b": 1, "r/c/d": 2}, {})
    store.fetch_tree("q/r", tmp_path / "copy")
    assert (tmp_path / "copy" / "c" / "d").read_bytes() == b"33"
    store.publish_tree(tmp_path / "copy", "p", "a")
    assert store.files("p") == {"a": 1, "b": 1, "c/d": 2}
    store.remove(["p/a", "p/none"])
    store.remove_tree("q")
    store.remove_tree("q")
    assert store.names() == ["p"]
    store.read_through("p")


def test_of_several_claims_at_once_each_gets_its_own_number(store):
    run, numbers = Run(store, "raced"), []

    def claim(token: str) -> None:
        numbers.append(claims.claim(Run(Store(store.uri), run.name), {"token": token}))

    threads = [threading.Thread(target=claim, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(numbers) == [1, 2, 3, 4] == run.attempts()
    assert claims.newer(run, 1) == 4
    assert claims.newer(run, 4) is None


def test_a_bucket_that_is_not_there_is_told_in_a_line(kind):
    missing = Store(f"{kind}://no-such-bucket/runs")
    assert not missing.is_there()
    with pytest.raises(StoreUnusable) as caught:
        missing.check()
    assert len(str(caught.value).splitlines()) == 1
    assert f"store {kind}://no-such-bucket/runs" in str(caught.value)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bits(store, finished, tmp_path):
    job, run = tmp_path / "tiny.yaml", Run(store, "tiny-1")
    job.write_text(JOB)
    command = [ARDM, "train", job, "--run", run.name, "--store", store.uri, "--no-progress"]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not checkpoints.committed(run):
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.kill()
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert again.returncode == 0, again.stderr
    assert newest_digest(run) == newest_digest(finished)
    assert [e.outcome for e in events(run, 2, kinds.Ended)] == ["completed"]
    to = tmp_path / "pulled"
    done = CliRunner().invoke(app, ["pull", run.name, "--store", store.uri, "--to", str(to)])
    assert done.exit_code == 0, done.output
    assert (to / "job.yaml").is_file()
