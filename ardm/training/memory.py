"""Freed memory: what compiling leaves goes back to the kernel, what steps need again stays."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Have glibc hold on to large blocks from now on instead of returning them to the kernel.

    XLA on CPU takes its temporaries anew at every call; what went back to the kernel costs page
    faults then (`benchmarks/step.py` measures how much). What is free now goes back first, so call
    this after compiling, which frees more than a gigabyte. Elsewhere than on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
