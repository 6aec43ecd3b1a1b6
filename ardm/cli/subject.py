"""What the commands share that use a trained model: opening it, its data, writing pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ardm.cli.console import say
from ardm.cli.options import find_run
from ardm.errors import InputError
from ardm.runs.layout import shared_cache
from ardm.runs.store import Store

if TYPE_CHECKING:
    from ardm.data.dataset import Images
    from ardm.runs.subject import Subject


def opened(target: str | None, store: str, job: str | None) -> "Subject":
    """The newest verified checkpoint of a run or a pulled directory; default: the newest run.

    Raises:
        NotFound: there is none.
    """
    from ardm.runs.compilation import share_cache
    from ardm.runs.subject import open_subject

    place = Store(store)
    name = target or find_run(store, None, job).name
    share_cache(place)
    return open_subject(name, place, say)


def about(subject: "Subject") -> dict[str, Any]:
    """What every result names: the run, the step and the digest that it came from."""
    return {"run": subject.name, "step": subject.step, "digest": subject.digest}


def test_images(subject: "Subject", store: str, count: int | None) -> "Images":
    """The first images of the test split that the run never trained on; None: all of them."""
    from ardm.data.dataset import load

    return load(subject.spec.data, shared_cache(Store(store), "data")).test[:count]


def written(path: Path, data: bytes) -> str:
    """Write a picture, and the directories above it.

    Returns:
        Its path, for the message.

    Raises:
        InputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error}); name another with --out") from error
    return str(path)
