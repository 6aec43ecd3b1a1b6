"""Policies kept with the checkpoint that they were found for.

<run>/policies/<attempt>-<step>.json     for a checkpoint of a run
<directory>/policies.json                for a pulled one
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from ardm import strict_json
from ardm.errors import StoreUnusable
from ardm.store.store import Store

PULLED = "policies.json"


class KeptPolicies:
    """A file of policies, which counts only for the state that it names.

    Args:
        store: that the file is in.
        name: of the file.
        state: `run`, `step` and `digest` of the state.
    """

    def __init__(self, store: Store, name: str, state: Mapping[str, Any]) -> None:
        self._store, self._name, self._state = store, name, dict(state)

    def keep(
        self,
        policies: Sequence[dict[str, Any]],
        losses: Float[np.ndarray, " steps"] | None = None,
    ) -> str:
        """Write policies; of those kept before, the ones of other kinds and budgets stay.

        Args:
            policies: each with at least `kind`, `budget` and `starts`.
            losses: L in nats, if it was measured; one that was kept before stays if it was not.

        Returns:
            Where they are.

        Raises:
            StoreUnusable: they cannot be written there.
        """
        fresh = {_key(policy): policy for policy in policies}
        old = [policy for policy in self.read() if _key(policy) not in fresh]
        merged = sorted([*old, *policies], key=_key)
        kept = self._content().get("L") if losses is None else losses.tolist()
        content = self._state | {"L": kept, "policies": merged}
        try:
            self._store.write(self._name, strict_json.dumps(content).encode() + b"\n")
        except Exception as error:  # every file system has errors of its own
            raise StoreUnusable(
                f"the policies cannot be kept with {self._state['run']} "
                f"({type(error).__name__}: {error}); `ardm pull` it and name the directory that it "
                "was pulled to"
            ) from error
        return self._store.url(self._name)

    def read(self) -> list[dict[str, Any]]:
        """The policies; empty where there are none, or those of another state."""
        kept = self._content().get("policies")
        return [policy for policy in kept if _is_policy(policy)] if isinstance(kept, list) else []

    def losses(self) -> Float[np.ndarray, " steps"] | None:
        """L in nats, as it was measured; None where nobody has measured it."""
        kept = self._content().get("L")
        if isinstance(kept, list) and kept and all(isinstance(nats, float) for nats in kept):
            return np.array(kept, np.float64)
        return None

    def _content(self) -> dict[str, Any]:
        """What was kept of this state; empty where there is nothing, or nothing readable."""
        content = self._store.read_record(self._name)
        return content if content and content.get("digest") == self._state["digest"] else {}


def _is_policy(value: Any) -> bool:
    kinds = {"budget": int, "kind": str, "starts": list}
    return isinstance(value, dict) and all(isinstance(value.get(k), t) for k, t in kinds.items())


def _key(policy: dict[str, Any]) -> tuple[int, str]:
    return policy["budget"], policy["kind"]
