"""When Python looks for garbage in a process that imports much and then works.

What is imported stays, so that searching it is in vain; it takes a fifth of the time of a start.
"""

import gc

SELDOM = 10_000
"""New objects after which the youngest ones are searched. Python's own number is 700."""


def seldom() -> None:
    """Look for garbage less often from now on."""
    gc.set_threshold(SELDOM, *gc.get_threshold()[1:])


def spare_what_there_is() -> None:
    """Never search what this process has loaded and made so far, not even at its end."""
    gc.freeze()
