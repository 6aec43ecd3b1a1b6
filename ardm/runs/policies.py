"""Policies kept with the checkpoint that they were found for.

<run>/policies/<attempt>-<step>.json     for a checkpoint of a run
<directory>/policies.json                for a pulled one
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ardm import strict_json
from ardm.errors import StoreUnusable
from ardm.runs.store import Store
from ardm.runs.subject import Subject

PULLED = "policies.json"


def keep(
    subject: Subject,
    policies: Sequence[dict[str, Any]],
    L: Float[np.ndarray, " steps"] | None = None,
) -> str:
    """Write policies down; of those kept before, the ones of other kinds and budgets stay.

    Args:
        subject: the checkpoint.
        policies: each with at least `kind`, `budget` and `starts`.
        L: in nats, if it was measured; one that was kept before stays if it was not.

    Returns:
        Where they are.

    Raises:
        StoreUnusable: they cannot be written there.
    """
    fresh = {_name(policy): policy for policy in policies}
    old = [policy for policy in read(subject) if _name(policy) not in fresh]
    merged = sorted([*old, *policies], key=_name)
    about = {"run": subject.name, "step": subject.step, "digest": subject.digest}
    kept = _kept(subject).get("L") if L is None else L.tolist()
    data = strict_json.dumps(about | {"L": kept, "policies": merged}).encode() + b"\n"
    home = subject.home
    try:
        if isinstance(home, Path):
            (home / PULLED).write_bytes(data)
            return str(home / PULLED)
        name = home.policies(subject.attempt, subject.step)
        home.store.write(name, data)
        return home.store.url(name)
    except Exception as error:  # every file system has errors of its own
        raise StoreUnusable(
            f"the policies cannot be kept with {subject.name} ({type(error).__name__}: {error}); "
            "`ardm pull` it and name the directory that it was pulled to"
        ) from error


def read(subject: Subject) -> list[dict[str, Any]]:
    """The policies kept with a checkpoint; empty where there are none, or those of another one."""
    found = _kept(subject).get("policies")
    return [policy for policy in found if _is_policy(policy)] if isinstance(found, list) else []


def best_known(subject: Subject) -> Float[np.ndarray, " steps"]:
    """L in nats: as measured by `ardm policy`, or as tracked in training where nobody has done so.

    The tracker lags behind the parameters by a thousand steps: its L is a first guess.
    """
    measured = _kept(subject).get("L")
    if isinstance(measured, list) and len(measured) == len(subject.L):
        if all(isinstance(nats, float) for nats in measured):
            return np.array(measured, np.float64)
    return subject.L


def _kept(subject: Subject) -> dict[str, Any]:
    """What was kept; empty where there is nothing, nothing readable, or that of another state."""
    home = subject.home
    if isinstance(home, Path):
        found = Store(str(home)).read_record(PULLED)
    else:
        found = home.store.read_record(home.policies(subject.attempt, subject.step))
    return found if found and found.get("digest") == subject.digest else {}


def _is_policy(found: Any) -> bool:
    kinds = {"budget": int, "kind": str, "starts": list}
    return isinstance(found, dict) and all(isinstance(found.get(k), t) for k, t in kinds.items())


def _name(policy: dict[str, Any]) -> tuple[int, str]:
    return policy["budget"], policy["kind"]
