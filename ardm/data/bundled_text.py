"""The text inside the package: Pride and Prejudice by Jane Austen, compressed with xz.

`README.md` beside this file says where it comes from.
"""

import lzma
from pathlib import Path

from ardm.data import bundled

FILE = Path(__file__).with_name("pride_and_prejudice.xz")
FILE_SHA256 = "b1bb98fb36a1bdf4086d4a5aab7822017a9be9b63a761264ea99ec746fd98ab2"
TITLE = "Pride and Prejudice by Jane Austen"


def read(path: Path = FILE) -> bytes:
    """Read the novel: 684,768 characters of ASCII.

    Args:
        path: the packed file.

    Raises:
        InputError: the file is missing, or does not have the expected SHA-256.
    """
    data = bundled.verified(path, FILE_SHA256, "scripts/make_novels.py")
    return lzma.decompress(data)


def pack(text: bytes) -> bytes:
    """Compress a text as the bundled file is compressed."""
    return lzma.compress(text, preset=9 | lzma.PRESET_EXTREME)
