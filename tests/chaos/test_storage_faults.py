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


def test_another_process_controls_the_proxy(emulator):
    command = [sys.executable, "-m", "ardm.chaos.storage_faults", emulator]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        addresses = json.loads(process.stdout.readline())
        names = gcsfs.GCSFileSystem(
            endpoint_url=addresses["address"], token="anon", skip_instance_cache=True
        )
        names.ls("")
        fault = Fault("500", share=0.5, seconds=60)
        assert storage_faults.control(addresses["control"], fault) == {"passed": 1}
        for _ in range(5):
            names.invalidate_cache()
            names.ls("")
        counts = storage_faults.control(addresses["control"], None)
        assert counts["passed"] == 6
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("what", ["cut", "403"])
def test_one_client_library_is_refused_and_others_pass(emulator, what):
    with storage_faults.serve(emulator) as proxy:
        proxy.inject(Fault(what, client="gcsfs"))
        fs = gcsfs.GCSFileSystem(endpoint_url=proxy.address, token="anon", skip_instance_cache=True)
        # gcsfs retries if the connection was reset, but not if the request was refused.
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


def test_an_unknown_client_is_refused():
    with pytest.raises(ValueError, match="expected one of gcsfs, others"):
        Fault("cut", client="curl")


def test_an_unknown_kind_of_fault_is_refused():
    with pytest.raises(ValueError, match="expected one of 429"):
        Fault("404")
