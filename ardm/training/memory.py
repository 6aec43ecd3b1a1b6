"""Keeping freed memory in the process, where XLA on CPU needs it again at once."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Have glibc hold on to large blocks instead of returning them to the kernel.

    XLA on CPU takes its temporaries anew at every call; what went back to the kernel costs page
    faults then (`benchmarks/step.py` measures how much). Elsewhere than on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
