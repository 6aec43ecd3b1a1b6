"""The media: what the examples of a data set are, and the words for them."""

from typing import NamedTuple


class Medium(NamedTuple):
    """A medium.

    Attributes:
        examples: the word for several examples.
        places: the word for the places of an example that can be given.
        unit: the unit of a likelihood per dimension.
    """

    examples: str
    places: str
    unit: str


IMAGE = Medium("images", "pixels", "bits/dim")
AUDIO = Medium("recordings", "samples", "bits/sample")
TEXT = Medium("texts", "characters", "bits/char")
