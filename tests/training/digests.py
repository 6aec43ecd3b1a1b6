"""The digest of a state after two steps, for several ways to share the work, one a line:
eight with Adam, three with Muon.

A process of its own, because XLA's options hold for a whole process.
"""

import numpy as np

from ardm.checkpoint.digest import digest
from ardm.training import state as states
from ardm.training.devices import use_cores
from ardm.training.group import Alone
from ardm.training.step import Step
from tests.training.setting import SEED, tiny_config, tiny_model, tiny_work, together


def two_steps(group, lanes: int, optimizer: str = "adam") -> str:
    work = tiny_work(group, tiny_config(optimizer=optimizer))
    step = Step(work.model, work.config, work.seed, group, lanes)
    state = states.place(states.init(tiny_model(), work.config, SEED))
    for number in range(2):
        state, _ = step(state, work.batches.slice(number, *step.share), 0)
    assert int(np.asarray(state.step)) == 2
    return digest(state)


if __name__ == "__main__":
    use_cores(2)
    for lanes in (1, 2):
        print(two_steps(Alone(), lanes))
    for size, lanes in ((2, 2), (4, 1)):
        print(*together(size, lambda member, n=lanes: two_steps(member, n)), sep="\n")
    print(two_steps(Alone(), 1, "muon"))
    print(*together(2, lambda member: two_steps(member, 2, "muon")), sep="\n")
