"""The curves of a run over all its attempts, with what a later attempt did again left out."""

import math
from dataclasses import dataclass, field

from ardm.runs import ledger
from ardm.runs.layout import Run


@dataclass
class History:
    """Points of the loss curve by step."""

    train: dict[int, float] = field(default_factory=dict)
    """Bits/dim, means over a few seconds of steps."""
    test: dict[int, tuple[float, float]] = field(default_factory=dict)
    """(bits/dim, standard error) of the EMA."""

    def rewind(self, step: int) -> None:
        """Forget what came after a step that training goes on from."""
        self.train = {s: v for s, v in self.train.items() if s <= step}
        self.test = {s: v for s, v in self.test.items() if s <= step}

    def add(self, event: ledger.Event) -> None:
        """Take in one event of the ledger."""
        kind, step = event["event"], event.get("step", 0)
        if kind in ("started", "restored"):
            self.rewind(step)
        elif not _finite(event.get("nelbo_bpd"), event.get("se_bpd", 0.0)):
            return
        elif kind == "trained":
            self.train[step] = event["nelbo_bpd"]
        elif kind == "evaluated":
            self.test[step] = (event["nelbo_bpd"], event["se_bpd"])


def _finite(*values: float | None) -> bool:
    """False for what an event holds in place of a number that is not finite."""
    return all(value is not None and math.isfinite(value) for value in values)


def read(run: Run) -> History:
    """Collect the curves from the ledger."""
    history = History()
    for number in run.attempts():
        for event in ledger.read(run, number):
            history.add(event)
    return history
