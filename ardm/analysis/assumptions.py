"""What a prediction assumes about a job, its machines and their prices, if nothing is given."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figures:
    """Durations that a run measures (seconds). The defaults are assumptions."""

    step_s: float = 60.0
    """Duration of a step on one worker (seconds)."""
    stall_s: float = 0.5
    """Time for which a save stalls training (seconds)."""
    save_s: float = 5.0
    """Time from the beginning of a save to its commit (seconds)."""
    recovery_s: float = 60.0
    """Time from an interruption to the next new step (seconds): about 25 s if a spare worker is
    ready, otherwise the time in which a VM boots."""


@dataclass(frozen=True)
class Market:
    """The amount of work, the machines and their prices."""

    hours: float = 2000.0
    """Duration of all steps of the job on one worker (hours)."""
    overhead: float = 0.03
    """Each doubling of the workers makes a step longer by this share of its ideal duration."""
    noticed: float = 0.5
    """Share of preemptions that are announced by a notice."""
    notice_s: float = 30.0
    """Time from a notice to the preemption (seconds): 30 on Google Cloud, 120 on AWS."""
    spot_price: float = 0.35
    """Price per worker-hour of a preemptible machine; the default on-demand price is 1."""
    on_demand_price: float = 1.0
    """Price per worker-hour of an on-demand machine."""


RATES = (0.005, 0.02, 0.1)
"""Preemptions per worker-hour: about 11 %, 38 % and 91 % of the machines are preempted in a day."""
WORKERS = (8, 64, 256)
INTERVALS = (10.0, 30.0, 120.0, 600.0)
"""Times between the beginnings of two saves (seconds)."""
