import json
import subprocess
import sys
import urllib.request

import gcsfs
import pytest
from fsspec.exceptions import FSTimeoutError

from ardm.chaos import storage_faults
from ardm.chaos.storage_faults import Fault

pytestmark = pytest.mark.slow


def test_the_proxy_takes_orders_from_another_process(emulator):
    command = [sys.executable, "-m", "ardm.chaos.storage_faults", emulator]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        told = json.loads(process.stdout.readline())
        names = gcsfs.GCSFileSystem(
            endpoint_url=told["address"], token="anon", skip_instance_cache=True
        )
        names.ls("")
        assert storage_faults.order(told["control"], Fault("500", share=0.5, seconds=60)) == {
            "passed": 1
        }
        for _ in range(5):
            names.invalidate_cache()
            names.ls("")
        counts = storage_faults.order(told["control"], None)
        assert counts["passed"] == 6
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("what", ["cut", "403"])
def test_one_client_library_is_refused_and_others_pass(emulator, what):
    with storage_faults.serve(emulator) as proxy:
        proxy.inject(Fault(what, client="gcsfs"))
        fs = gcsfs.GCSFileSystem(endpoint_url=proxy.address, token="anon", skip_instance_cache=True)
        # It tries again where it was cut off, and does not where it was refused.
        with pytest.raises(FSTimeoutError if what == "cut" else OSError):
            fs.ls("", timeout=1)
        assert proxy.counts["passed"] == 0
        buckets = f"{proxy.address}/storage/v1/b?project=test"
        urllib.request.urlopen(buckets, timeout=10).close()
        proxy.inject(Fault(what, client="others"))
        fs.ls("")
        with pytest.raises(OSError, match=r"403|closed|reset"):
            urllib.request.urlopen(buckets, timeout=10)
        assert proxy.clients["others"] == 2
        assert proxy.counts["passed"] == 2


def test_a_client_that_nobody_knows_is_refused():
    with pytest.raises(ValueError, match="expected one of gcsfs, others"):
        Fault("cut", client="curl")


def test_a_fault_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="expected one of 429"):
        Fault("404")
