"""Compression of files by a trained model, and decompression."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt

from ardm.compression import container, files
from ardm.compression.coder import Decoder, Encoder
from ardm.compression.container import Header
from ardm.data.alphabet import Alphabet
from ardm.data.waves import Sound
from ardm.errors import InputError
from ardm.model import coding, policy
from ardm.model.build import Model, Params
from ardm.model.coding import Code, Examples
from ardm.runner.environment import environment
from ardm.training.likelihood import Likelihood

_MOST_EXAMPLES, _MOST_OUTPUTS = 16, 2**25
"""Largest numbers of examples of a network call and of its outputs, which bound its memory. The
order of the values in the stream depends on them, so they are a part of the format."""


class Compressed(NamedTuple):
    """The result of a compression.

    Attributes:
        data: the bytes of the file.
        header: its header.
        bytes_in: sum of the sizes of the files.
        values: number of values that were coded.
    """

    data: bytes
    header: Header
    bytes_in: int
    values: int

    @property
    def bits_per_dim(self) -> float:
        """Bits per value, with the header."""
        return 8 * len(self.data) / max(self.values, 1)


@dataclass(frozen=True, eq=False)
class Codec:
    """Compresses and decompresses files with one model.

    Args:
        model: the model.
        params: its parameters, the EMA.
        digest: digest of the parameters.
        alphabet: alphabet of a model of texts; None for others.
        sound: rate and encoding of a model of recordings; None for others.
    """

    model: Model
    params: Params
    digest: str
    alphabet: Alphabet | None
    sound: Sound | None = None

    def compress(
        self,
        paths: Sequence[Path],
        starts: Int[np.ndarray, " budget"],
        seed: int = 0,
        orders: int = 1,
        called: Callable[[], None] = lambda: None,
    ) -> Compressed:
        """Compress files into one stream.

        Args:
            paths: the files: see `ardm.compression.files.load`.
            starts: start times of the network calls.
            seed: seed of the orders.
            orders: number of orders, of which each example uses the best.
            called: called after each round of network calls.

        Raises:
            InputError: a file cannot be represented by the model.
        """
        loaded = files.load(paths, self.model, self.alphabet, self.sound)
        encoder = Encoder()
        chosen = self._best_orders(loaded, starts, seed, orders)
        values = self._transcode(
            encoder, starts, seed, orders, loaded.wanted, called, (loaded.values, chosen)
        )
        words = encoder.words()
        header = Header(
            model=self.digest,
            shape=self.model.shape,
            classes=self.model.classes,
            starts=tuple(int(start) for start in starts),
            seed=seed,
            orders=orders,
            libraries=environment()["libraries"],
            device=environment()["device"],
            canary=self._canary(),
            words=len(words),
            stream=container.sha256(container.as_bytes(words)),
            content=container.sha256(values),
            files=loaded.entries,
        )
        data = container.pack(header, words)
        bytes_in = sum(path.stat().st_size for path in paths)
        return Compressed(data, header, bytes_in, self._values(loaded.wanted))

    def decompress(
        self, data: bytes, origin: str, called: Callable[[], None] = lambda: None
    ) -> list[tuple[str, bytes]]:
        """Restore the files.

        Args:
            data: the bytes that `compress` returned.
            origin: name of the file, for messages.
            called: called after each round of network calls.

        Returns:
            The names and contents of the files.

        Raises:
            InputError: the file is damaged, or was written by another model or on a machine that
                computes other bits.
        """
        header, words = container.unpack(data, origin)
        self._require_ours(header, origin)
        wanted = self._wanted(header, origin)
        starts = np.array(header.starts, np.int32)
        values = self._transcode(
            Decoder(words), starts, header.seed, header.orders, wanted, called, None
        )
        if container.sha256(values) != header.content:
            raise InputError(
                f"{origin}: the values that were read do not have the digest in the header; this "
                "machine computes other bits than the one that compressed the files"
            )
        return files.contents(header.files, values, self.model, self.alphabet, self.sound)

    def _transcode(
        self,
        code: Code,
        starts: Int[np.ndarray, " budget"],
        seed: int,
        orders: int,
        wanted: Bool[np.ndarray, "num h w m"],
        called: Callable[[], None],
        given: tuple[UInt[np.ndarray, "num h w c"], Int[np.ndarray, " num"]] | None,
    ) -> UInt[np.ndarray, "num h w c"]:
        """Code which order each example uses, then the values."""
        equal = np.ones((len(wanted), orders), np.int64)
        chosen = code(equal, given and given[1]) if orders > 1 else np.zeros(len(wanted), int)
        sigma = self._sigma(starts, seed, orders)
        return coding.transcode(
            self.model.bind(self.params),
            code,
            Examples(sigma[chosen], wanted, given and given[0]),
            starts,
            objective=self.model.objective,
            batch=self._batch,
            called=called,
        )

    @property
    def _batch(self) -> int:
        outputs = self.model.objective.D * self.model.objective.features
        return max(1, min(_MOST_EXAMPLES, _MOST_OUTPUTS // outputs))

    def _sigma(
        self, starts: Int[np.ndarray, " budget"], seed: int, orders: int
    ) -> Int[np.ndarray, "orders stages h w m"]:
        likelihood = self._likelihood(np.zeros((1, *self.model.shape), np.uint8), starts, seed)
        return np.stack([likelihood.order(number) for number in range(orders)])

    def _likelihood(
        self, images: UInt[np.ndarray, "n h w c"], starts: Int[np.ndarray, " budget"], seed: int
    ) -> Likelihood:
        return Likelihood(self.model, self.params, seed, images, starts)

    def _best_orders(
        self, loaded: files.Loaded, starts: Int[np.ndarray, " budget"], seed: int, orders: int
    ) -> Int[np.ndarray, " num"]:
        if orders == 1 or not len(loaded.values):
            return np.zeros(len(loaded.values), int)
        likelihood = self._likelihood(loaded.values, starts, seed)
        return likelihood.per_image(orders).argmax(axis=0)

    def _canary(self) -> str:
        predict = self.model.bind(self.params)
        return container.sha256(coding.canary(predict, self.model.objective, self._batch))

    def _values(self, wanted: Bool[np.ndarray, "num h w m"]) -> int:
        return int(wanted.sum()) * self.model.objective.channels_per_entry

    def _require_ours(self, header: Header, origin: str) -> None:
        """Raise an error unless this model on this machine wrote the stream."""
        if header.model != self.digest:
            raise InputError(
                f"{origin}: expected a file of the model with digest {self.digest[:12]}..., "
                f"received one of {header.model[:12]}...; decompress it with the checkpoint that "
                "wrote it"
            )
        if (header.shape, header.classes) != (self.model.shape, self.model.classes):
            raise InputError(f"{origin}: the header is of a model with other shapes")
        if self._canary() != header.canary:
            here = environment()
            versions = {
                f"{name} {old} there, {here['libraries'].get(name)} here"
                for name, old in header.libraries.items()
                if here["libraries"].get(name) != old
            }
            known = (
                "; ".join(sorted(versions))
                or f"device {header.device} there, {here['device']} here"
            )
            raise InputError(
                f"{origin}: this machine computes other bits than the one that compressed the "
                f"files, so they cannot be restored here ({known}); use the same kind of machine "
                "and the same versions"
            )

    def _wanted(self, header: Header, origin: str) -> Bool[np.ndarray, "num h w m"]:
        """What is coded according to the header, if the stream can hold that much."""
        objective = self.model.objective
        policy.segments(np.array(header.starts, np.int32), objective.D, end=objective.steps)
        kinds = {"text"} if self.alphabet else {"wav"} if self.sound else {"png", "idx"}
        numbers = [files.count(entry, self.model) for entry in header.files]
        sizes = [
            entry.size if entry.kind in files.SEQUENCES else entry.size * objective.D
            for entry in header.files
        ]
        # The likeliest class has a probability below 1, so every value costs a part of a bit.
        classes = objective.output.classes
        least = -log(1 - (classes - 1) / coding.total(classes), 2) * objective.stages
        if not {entry.kind for entry in header.files} <= kinds:
            raise InputError(f"{origin}: the header names files that this model cannot write")
        if sum(sizes) * least > 32 * header.words + 64:
            raise InputError(
                f"{origin}: the header promises {sum(numbers):,} examples, more than a stream of "
                f"{4 * header.words:,} bytes can hold; the file is damaged"
            )
        return files.wanted(header.files, self.model)
