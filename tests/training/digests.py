"""Print the digest of a state after two steps, for several numbers of workers and devices.

There are eight lines for Adam and three for Muon. The script runs in a separate process, because
XLA's options apply to a whole process.
"""

import numpy as np

from ardm.checkpoint.digest import digest
from ardm.training import state as states
from ardm.training.devices import use_cores
from ardm.training.group import Alone
from ardm.training.step import Step
from tests.training.setting import SEED, tiny_config, tiny_model, tiny_work, together


def two_steps(group, devices: int, optimizer: str = "adam") -> str:
    work = tiny_work(group, tiny_config(optimizer=optimizer))
    step = Step(work.model, work.config, work.seed, group, devices)
    state = states.place(states.init(tiny_model(), work.config, SEED))
    for number in range(2):
        state, _ = step(state, work.batches.slice(number, *step.share), 0)
    assert int(np.asarray(state.step)) == 2
    return digest(state)


if __name__ == "__main__":
    use_cores(2)
    for devices in (1, 2):
        print(two_steps(Alone(), devices))
    for size, devices in ((2, 2), (4, 1)):
        print(*together(size, lambda member, n=devices: two_steps(member, n)), sep="\n")
    print(two_steps(Alone(), 1, "muon"))
    print(*together(2, lambda member: two_steps(member, 2, "muon")), sep="\n")
