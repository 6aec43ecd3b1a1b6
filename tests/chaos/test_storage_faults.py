import json
import subprocess
import sys

import gcsfs
import pytest

from ardm.chaos import storage_faults
from ardm.chaos.storage_faults import Fault


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


def test_a_fault_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="expected one of 429"):
        Fault("404")
