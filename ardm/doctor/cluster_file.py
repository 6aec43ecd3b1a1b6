"""Checks of a file of Ray's cluster launcher."""

from pathlib import Path

import yaml

from ardm.cluster.job_server import has_gpus
from ardm.doctor.check import Check, Checks
from ardm.errors import InputError, in_a_line

DEFAULT = Path("cluster.yaml")


def cluster_file(path: Path | None) -> Checks:
    """Whether a file can start a cluster.

    Args:
        path: the file; None for `cluster.yaml` in this directory, if there is one.
    """
    chosen = path or DEFAULT
    if not chosen.exists():
        if path is not None:
            finding = f"there is no file {path}"
            yield Check("cluster file", ok=False, finding=finding, remedy="name another")
        return
    left = _to_edit(chosen)
    try:
        with_gpus = has_gpus(chosen)
        _validate(chosen)
    except InputError as error:
        yield Check("cluster file", ok=False, finding=str(error), remedy=f"correct {chosen}")
        return
    except Exception as error:  # Ray's check raises errors of several classes
        finding = f"{chosen} is refused by Ray: {in_a_line(error)}"
        yield Check("cluster file", ok=False, finding=finding, remedy=f"correct {chosen}")
        return
    if left:
        numbers = ", ".join(str(number) for number in left)
        # The file of the repository is a template, which users of a local Ray leave as it is.
        yield Check(
            "cluster file",
            ok=path is None,
            finding=f"{chosen} is not filled in yet",
            remedy=f"edit the lines marked EDIT ({numbers}) before `make cluster-up`",
        )
        return
    kind = "with GPUs" if with_gpus else "without GPUs"
    yield Check("cluster file", ok=True, finding=f"{chosen} describes a cluster {kind}")


def _to_edit(path: Path) -> list[int]:
    """Numbers of the lines that still hold a placeholder."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [n for n, line in enumerate(lines, 1) if "# EDIT" in line and "YOUR-" in line]


def _validate(path: Path) -> None:
    import logging

    from ardm.cluster._ray import prepare_config, validate_config

    logging.getLogger("ray.autoscaler").setLevel(logging.WARNING)
    validate_config(prepare_config(yaml.safe_load(path.read_text(encoding="utf-8"))))
