"""Rearrangement of square patches of pixels into channels and back."""

from jaxtyping import Array, Shaped


def join(x: Shaped[Array, "b h w c"], side: int) -> Shaped[Array, "b hh ww cc"]:
    """Make each patch of `side` x `side` pixels one position, with the pixels' channels abreast.

    Args:
        x: height and width divisible by `side`.
        side: of a patch.

    Returns:
        Shape b, h / side, w / side, side * side * c.
    """
    b, h, w, c = x.shape
    patches = x.reshape(b, h // side, side, w // side, side, c).transpose(0, 1, 3, 2, 4, 5)
    return patches.reshape(b, h // side, w // side, side * side * c)


def separate(x: Shaped[Array, "b h w c"], side: int) -> Shaped[Array, "b hh ww cc"]:
    """Undo `join`: make every position a patch of `side` x `side` pixels.

    Args:
        x: channels divisible by `side` * `side`.
        side: of a patch.

    Returns:
        Shape b, h * side, w * side, c / (side * side).
    """
    b, h, w, c = x.shape
    patches = x.reshape(b, h, w, side, side, c // side**2).transpose(0, 1, 3, 2, 4, 5)
    return patches.reshape(b, h * side, w * side, c // side**2)
