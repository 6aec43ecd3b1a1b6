"""The kinds of characters: spaces, vowels, consonants and others."""

_SPACES, _VOWELS = b" \t\n\r", b"aeiouAEIOU"
_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = b"0123456789"

TEXT8 = 27
"""K of the alphabet text8: the space, then the letters a to z."""
BYTES = 256
"""K of the alphabet of bytes."""


def kinds(classes: int) -> tuple[int, ...]:
    """The kind of every character of an alphabet.

    Args:
        classes: `TEXT8` or `BYTES`.

    Returns:
        Numbers from 0: spaces, vowels, consonants; of bytes also digits, other ASCII characters,
        and parts of other characters.
    """
    characters = b" " + _LETTERS[:26] if classes == TEXT8 else bytes(range(BYTES))
    return tuple(_kind(character) for character in characters)


def _kind(character: int) -> int:
    if character in _SPACES:
        return 0
    if character in _VOWELS:
        return 1
    if character in _LETTERS:
        return 2
    if character in _DIGITS:
        return 3
    return 4 if character < 128 else 5
