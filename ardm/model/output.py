"""What every output distribution offers: the network's numbers, likelihoods and draws."""

from typing import Protocol, runtime_checkable

from jaxtyping import Array, Float, Integer, Key, UInt8


@runtime_checkable
class Output(Protocol):
    """The distribution of the values that one mask entry hides, given the visible ones.

    An implementation is frozen, hashable and holds no arrays.
    """

    @property
    def channels(self) -> int:
        """Channels of the image."""

    @property
    def classes(self) -> int:
        """K, the classes of one channel."""

    @property
    def mask_channels(self) -> int:
        """Channels of the mask: 1 if all channels of a pixel are generated together."""

    @property
    def features(self) -> int:
        """How many numbers per pixel describe the distribution."""

    def parameters(self, features: Float[Array, "b h w f"]) -> Float[Array, "b h w ..."]:
        """Arrange the network's outputs."""

    def log_prob(
        self, parameters: Float[Array, "b h w ..."], x: Integer[Array, "b h w c"]
    ) -> Float[Array, "b h w m"]:
        """Log-probability of what each mask entry hides in `x`, in nats, float32."""

    def noise(self, key: Key[Array, ""], height: int, width: int) -> Float[Array, "h w n"]:
        """Draw the randomness that `draw` turns into one image: uniform on [0, 1)."""

    def draw(
        self,
        parameters: Float[Array, "b h w ..."],
        noise: Float[Array, "b h w n"],
        temperature: Float[Array, ""],
    ) -> UInt8[Array, "b h w c"]:
        """Draw all values, independently per mask entry; temperature 1 draws from the model."""
