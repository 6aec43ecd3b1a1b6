"""Sampling policies, stored with the checkpoint for which they were computed.

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
    """A file of policies, which is valid only for the state whose digest it holds.

    Args:
        store: the store that holds the file.
        name: the name of the file in the store.
        state: `run`, `step` and `digest` of the state.
    """

    def __init__(self, store: Store, name: str, state: Mapping[str, Any]) -> None:
        self._store, self._name, self._state = store, name, dict(state)

    def keep(
        self,
        policies: Sequence[dict[str, Any]],
        losses: Float[np.ndarray, " steps"] | None = None,
    ) -> str:
        """Add policies to the file; they replace those of the same kind and budget.

        Args:
            policies: the policies, each with at least `kind`, `budget` and `starts`.
            losses: L in nats, if it was measured; if it was not, the L in the file stays.

        Returns:
            The URI of the file.

        Raises:
            StoreUnusable: the file cannot be written.
        """
        replaced = {_key(policy) for policy in policies}
        others = [policy for policy in self.read() if _key(policy) not in replaced]
        merged = sorted([*others, *policies], key=_key)
        nats = self._content().get("L") if losses is None else losses.tolist()
        content = self._state | {"L": nats, "policies": merged}
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
        """The policies; empty if there are none, or only those of another state."""
        stored = self._content().get("policies")
        if not isinstance(stored, list):
            return []
        return [policy for policy in stored if _is_policy(policy)]

    def losses(self) -> Float[np.ndarray, " steps"] | None:
        """L in nats, as it was measured; None if it was not measured for this state."""
        stored = self._content().get("L")
        if isinstance(stored, list) and stored and all(isinstance(x, float) for x in stored):
            return np.array(stored, np.float64)
        return None

    def _content(self) -> dict[str, Any]:
        """The content of the file; empty if it is missing, unreadable or of another state."""
        content = self._store.read_record(self._name)
        return content if content and content.get("digest") == self._state["digest"] else {}


def _is_policy(value: Any) -> bool:
    types = {"budget": int, "kind": str, "starts": list}
    return isinstance(value, dict) and all(isinstance(value.get(k), t) for k, t in types.items())


def _key(policy: dict[str, Any]) -> tuple[int, str]:
    return policy["budget"], policy["kind"]
