"""A model that trains in milliseconds, its data, and a group whose workers are threads."""

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from ardm.data.batches import Batches
from ardm.model.build import Model, build
from ardm.model.config import ModelConfig, UpscaleConfig
from ardm.model.net_config import DilatedConfig, TransformerConfig, UNetConfig
from ardm.training.config import TrainingConfig
from ardm.training.group import Alone
from ardm.training.loop import Work

SEED = 3
SIDE = 4


def tiny_model(
    side: int = SIDE, dropout: float = 0.1, channels: int = 1, classes: int = 2, **options
) -> Model:
    """A model; `options` are keys of the `model` section."""
    # Two channels per group, because normalizing a single one would remove its time embedding.
    net = UNetConfig(
        channels=4, multipliers=(1,), blocks=1, attention=(), groups=2, dropout=dropout
    )
    return build(ModelConfig(net=net, **options), (side, side, channels), classes)


def tiny_text_model(objective: str = "oa", dropout: float = 0.1) -> Model:
    """A model of texts of six characters from an alphabet of three."""
    net = TransformerConfig(width=8, blocks=2, heads=2, expansion=2, dropout=dropout)
    options = {"upscale": UpscaleConfig(branch=2, mode="augment")}
    return build(ModelConfig(net=net, objective=objective, **options), (6, 1, 1), 3)


def tiny_sound_model(kind: str = "mu-law", dropout: float = 0.1) -> Model:
    """A model of recordings of nine samples; `kind` is the encoding, or `upscale` (branch 16)."""
    net = DilatedConfig(channels=8, blocks=3, cycle=2, dropout=dropout)
    options = {
        "mu-law": {},
        "linear": {"output": "logistic_mixture", "components": 2},
        "upscale": {
            "objective": "upscale",
            "upscale": UpscaleConfig(branch=16, mode="augment", parametrisation="data"),
        },
    }[kind]
    return build(ModelConfig(net=net, **options), (9, 1, 1), 256 if kind == "mu-law" else 65_536)


def tiny_config(**changes) -> TrainingConfig:
    usual = {"steps": 6, "batch_size": 8, "grad_shards": 4, "warmup": 0, "learning_rate": 1e-2}
    return TrainingConfig(**usual | changes)


def tiny_images(count: int = 50, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 2, (count, side, side, 1), dtype=np.uint8)


def tiny_work(group=None, config: TrainingConfig | None = None) -> Work:
    config = config or tiny_config()
    batches = Batches(tiny_images(), config.batch_size, SEED)
    return Work(tiny_model(), config, SEED, batches, group or Alone())


def bits(tree) -> list[tuple]:
    """Types, shapes and bytes of all leaves: equal if and only if the trees have equal bits."""
    return [
        (str(leaf.dtype), leaf.shape, np.asarray(leaf).tobytes()) for leaf in jax.tree.leaves(tree)
    ]


class Member:
    """One worker of a group of threads, which gathers trees in the order of the ranks."""

    def __init__(self, rank: int, table: list, barrier: threading.Barrier) -> None:
        self.rank, self.size = rank, len(table)
        self._table, self._barrier = table, barrier

    def gather(self, tree):
        self._table[self.rank] = tree
        self._barrier.wait(60)
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *self._table)
        self._barrier.wait(60)
        return stacked

    def exchange(self, message: bytes) -> list[bytes]:
        self._table[self.rank] = message
        self._barrier.wait(60)
        messages = list(self._table)
        self._barrier.wait(60)
        return messages


def together(size: int, work):
    """Run `work(member)` in `size` threads at once; return their results."""
    table, barrier = [None] * size, threading.Barrier(size)
    members = [Member(rank, table, barrier) for rank in range(size)]
    with ThreadPoolExecutor(size) as threads:
        return list(threads.map(work, members))
