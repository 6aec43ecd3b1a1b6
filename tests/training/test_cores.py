import math
import os

import pytest

from ardm.training import devices
from ardm.training.devices import cores_here, quota


@pytest.fixture
def groups(tmp_path):
    """A function that writes files of control groups, and returns the resulting quota."""

    def make(own: str, files: dict[str, str]) -> float:
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "cgroup" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return quota(tmp_path / "cgroup", tmp_path / "own")

    return make


@pytest.mark.parametrize(
    ("own", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, math.inf),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000", "a/b/cpu.max": "max 100000"}, 0.5),
        ("0::/only/outside\n", {"cpu.max": "200000 100000"}, 2.0),
        (
            "4:memory:/x\n2:cpu,cpuacct:/x\n",
            {"cpu/x/cpu.cfs_quota_us": "300000", "cpu/x/cpu.cfs_period_us": "100000"},
            3.0,
        ),
        ("2:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, math.inf),
        ("2:cpu:/\n", {"cpu/cpu.cfs_quota_us": "100000"}, math.inf),
        ("garbage", {}, math.inf),
        ("", {}, math.inf),
        ("0::/\n", {"cpu.max": "garbage"}, math.inf),
        ("0::/\n", {"cpu.max": "100000 0"}, math.inf),
    ],
)
def test_the_smallest_quota_holds(groups, own, files, expected):
    assert groups(own, files) == expected


def test_a_process_has_at_least_one_core_and_no_more_than_it_may_use(monkeypatch):
    assert 1 <= cores_here() <= (os.cpu_count() or 1)
    monkeypatch.setattr(devices, "quota", lambda: 0.2)
    assert cores_here() == 1
    monkeypatch.setattr(devices, "quota", lambda: math.inf)
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda _: {0, 1, 2}, raising=False)
    assert cores_here() == 3
    monkeypatch.setattr(devices, "quota", lambda: 1.5)
    assert cores_here() == 2
