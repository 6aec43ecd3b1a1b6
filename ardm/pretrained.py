"""A trained model: what it generates and compresses."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt

from ardm import prompts
from ardm.checkpoint.digest import digest
from ardm.compression.codec import Codec, Compressed
from ardm.generated import Completions, Samples
from ardm.model import draws, inpaint, sampling
from ardm.scoring import Scoring
from ardm.training.state import seed_key

_EXPORTED_CALLS = 50
"""Default number of network calls of an exported sampler."""


class Pretrained(Scoring):
    """A trained model with the parameters of a verified checkpoint.

    >>> model = ardm.load("hello", store="runs")
    >>> model.sample(16, budget=50).save("digits.png")

    Its attributes are those of `Checkpointed`.
    """

    def sample(
        self,
        num: int = 16,
        *,
        budget: int | None = None,
        steps: int | None = None,
        order: str | None = None,
        temperature: float = 1.0,
        seed: int = 0,
        chain: bool = False,
        length: int | None = None,
        prompt: str | None = None,
        infill: str | None = None,
    ) -> Samples:
        """Generate images, texts or recordings.

        >>> model.sample(4, budget=20).images.shape
        (4, 28, 28, 1)

        Args:
            num: number of images or texts.
            budget: number of network calls per image, made where they help most; default: one per
                dimension.
            steps: number of network calls per image, evenly spread, instead of `budget`.
            order: one generation order for all images: `random`, `raster` or `centre-out`; default:
                a random order for each image.
            temperature: divisor of the logits; below 1 the images are more likely ones.
            seed: seed of the orders and values.
            chain: whether to keep the images after every network call.
            length: number of characters of a text, or of samples of a recording; default: that of
                the sequences of training.
            prompt: the beginning of every text.
            infill: a text in which every `_` is one character to generate.

        Returns:
            The images or texts; number i does not depend on `num`.

        Raises:
            InputError: an argument is out of bounds, or is one of texts and the model generates
                images.
        """
        objective, key = self.model.objective, seed_key(seed)
        given = prompts.read(
            self.medium, self.alphabet, objective, length=length, prompt=prompt, infill=infill
        )
        calls = self.calls(steps, budget, int(given.known.sum()), int(given.wanted.sum()))
        samples = sampling.sample(
            self.model.bind(self.params),
            key,
            num,
            calls.starts,
            objective=objective,
            given=given,
            order=None if order is None else draws.fixed(order, key, objective.shape),
            temperature=temperature,
            keep_chain=chain,
        )
        return Samples(
            samples.images[:, : given.end],
            None if samples.chain is None else samples.chain[:, :, : given.end],
            len(calls.starts),
            calls.kind,
            self.model.classes,
            self.alphabet,
            self.sound,
        )

    def inpaint(
        self,
        images: UInt[np.ndarray, "n h w c"],
        mask: Bool[np.ndarray, "h w"],
        completions: int = 1,
        *,
        budget: int | None = None,
        steps: int | None = None,
        temperature: float = 1.0,
        seed: int = 0,
    ) -> Completions:
        """Complete images of which a part is given.

        >>> import numpy as np
        >>> images, _ = model.images("valid", 2)
        >>> top_half = np.arange(28)[:, None] < np.full(28, 14)
        >>> completed = model.inpaint(images, top_half, completions=3, budget=10)
        >>> completed.images.shape
        (2, 3, 28, 28, 1)
        >>> completed.save("completed.png")

        Args:
            images: the images, with values 0 .. K-1; values outside the mask are ignored.
            mask: true where a pixel is given.
            completions: number of completions of each image.
            budget: number of network calls per image, made where they help most; default: one per
                dimension that is not given.
            steps: number of network calls per image, evenly spread, instead of `budget`.
            temperature: divisor of the logits.
            seed: seed of the orders and values.

        Raises:
            InputError: an argument is out of bounds, or nothing is left to generate.
        """
        given = np.broadcast_to(mask[..., None], self.model.objective.shape)
        calls = self.calls(steps, budget, int(given.sum()))
        completed = inpaint.inpaint(
            self.model.bind(self.params),
            seed_key(seed),
            images,
            given,
            calls.starts,
            completions,
            objective=self.model.objective,
            temperature=temperature,
        )
        return Completions(
            completed,
            images,
            mask,
            len(calls.starts),
            calls.kind,
            self.model.classes,
            self.alphabet,
            self.sound,
        )

    def compress(
        self,
        paths: Sequence[str | Path],
        *,
        budget: int | None = None,
        orders: int = 1,
        seed: int = 0,
        called: Callable[[], None] = lambda: None,
    ) -> Compressed:
        """Compress files without loss into one stream, whose bytes are the result's `data`.

        Args:
            paths: PNG or IDX files, or texts.
            budget: number of network calls per image, made where they help most; default: one per
                dimension.
            orders: number of orders, of which each example uses the best.
            seed: seed of the orders.
            called: called after each round of network calls.

        Raises:
            InputError: a file cannot be represented by the model, or an argument is out of bounds.
        """
        starts = self.calls(None, budget).starts
        return self._codec.compress([Path(p) for p in paths], starts, seed, orders, called)

    def decompress(
        self, data: bytes, origin: str = "data", called: Callable[[], None] = lambda: None
    ) -> list[tuple[str, bytes]]:
        """Restore the files that `compress` compressed.

        Args:
            data: the compressed bytes.
            origin: name of the compressed file, for messages.
            called: called after each round of network calls.

        Returns:
            The names and contents of the files.

        Raises:
            InputError: the bytes are damaged, or were written by another model or on a machine that
                computes other bits.
        """
        return self._codec.decompress(data, origin, called)

    def export(
        self, to: str | Path, *, num: int = 16, budget: int | None = None, license: str = "unknown"
    ) -> list[str]:
        """Write the model for people who do not use this package.

        >>> sorted(model.export("exported", num=4, budget=10))[:2]
        ['README.md', 'job.yaml']

        Args:
            to: a new or empty directory.
            num: number of examples that the exported functions draw, and score, at once.
            budget: network calls per example of the exported sampler, optimally spaced; default:
                50, or one per dimension if there are fewer or the model makes one per call.
            license: licence of the parameters, for the model card.

        Returns:
            The names of the files.

        Raises:
            InputError: the directory has files already or cannot be written, or the budget is
                invalid.
        """
        # Imported here since it imports `jax.export`, which other uses do without.
        from ardm import exporting
        from ardm.export.write import require_free, write

        require_free(Path(to))
        objective = self.model.objective
        default = min(_EXPORTED_CALLS, objective.steps) if objective.several_per_call else None
        calls = self.calls(None, budget or default)
        files = exporting.files(self, num, calls, license)
        write(Path(to), files)
        return list(files)

    @property
    def _codec(self) -> Codec:
        return Codec(self.model, self.params, digest(self.params), self.alphabet, self.sound)
