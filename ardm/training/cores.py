"""The cores that this process may use: of the machine, by affinity, and by a container's quota.

Python (3.13) does not know of quotas. joblib does, but takes a quarter of a second to import.
"""

import math
import os
from contextlib import suppress
from pathlib import Path


def cores_here() -> int:
    """How many cores this process may use, at least one; a part of a core counts as one."""
    if hasattr(os, "sched_getaffinity"):
        number = len(os.sched_getaffinity(0))
    else:
        number = os.cpu_count() or 1
    return max(1, math.ceil(min(number, quota())))


def quota(cgroups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float:
    """Cores' worth of time that the control groups of this process allow; infinite without limit.

    Args:
        cgroups: where the file systems of Linux's control groups are mounted.
        own: the file that names the groups of this process.
    """
    limits = [math.inf]
    for line in _text(own).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:  # version 2
            base, read = cgroups, _version_2
        elif "cpu" in controllers.split(","):
            base, read = cgroups / "cpu", _version_1
        else:
            continue
        # Inside a container the group may be named as it is outside, where nothing is mounted.
        folder = base / group.strip("/")
        for place in (folder, *folder.parents):
            with suppress(ValueError, ZeroDivisionError):
                limits.append(read(place))
            if place == base:
                break
    return min(limit for limit in limits if limit > 0)


def _version_2(folder: Path) -> float:
    allowed, period = _text(folder / "cpu.max").split()
    return int(allowed) / int(period)


def _version_1(folder: Path) -> float:
    allowed = int(_text(folder / "cpu.cfs_quota_us"))
    return allowed / int(_text(folder / "cpu.cfs_period_us")) if allowed > 0 else math.inf


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
