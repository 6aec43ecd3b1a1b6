"""Small data sets in the formats in which the real ones are published."""

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ardm.data import formats

IDX_NAMES = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def serve(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve the files of a folder; yields the address."""
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def random_images(count: int, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


def idx_file(images: np.ndarray) -> bytes:
    sizes = np.array(images.shape[:3], ">u4").tobytes()
    return b"\0\0\x08\x03" + sizes + images.tobytes()


def cifar_batch(images: np.ndarray) -> bytes:
    planes = np.moveaxis(images, -1, 1).reshape(len(images), -1)
    labels = np.full((len(images), 1), 7, np.uint8)
    return np.concatenate([labels, planes], axis=1).tobytes()


def write_idx(folder: Path, train: np.ndarray, test: np.ndarray) -> None:
    (folder / IDX_NAMES["train"]).write_bytes(idx_file(train))
    (folder / IDX_NAMES["test"]).write_bytes(idx_file(test))


def write_cifar(folder: Path, train: np.ndarray, test: np.ndarray) -> None:
    for name, images in zip(formats.TRAIN, np.array_split(train, 5), strict=True):
        (folder / name).write_bytes(cifar_batch(images))
    (folder / formats.TEST).write_bytes(cifar_batch(test))
