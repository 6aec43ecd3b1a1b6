"""The driver goes on with another controller where one of Ray Train's has died."""

import pytest
from ray.exceptions import ActorDiedError

from ardm.cluster import driver
from ardm.errors import JobFailed


class Controllers:
    """Controllers that live so many seconds each and die; the one after the last one does not."""

    def __init__(self, *lives: float) -> None:
        self.lives, self.now, self.begun = list(lives), 0.0, 0

    def fit(self) -> None:
        self.begun += 1
        if self.lives:
            self.now += self.lives.pop(0)
            raise ActorDiedError()

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize("lives", [[], [1.0], [100.0] * 10, [1.0, 1.0, 100.0, 1.0, 1.0]])
def test_another_controller_goes_on(lives: list[float]) -> None:
    controllers = Controllers(*lives)
    driver._fit(controllers.fit, controllers.clock)
    assert controllers.begun == len(lives) + 1


def test_controllers_that_die_at_once_end_the_job() -> None:
    controllers = Controllers(100.0, 1.0, 2.0, 3.0)
    with pytest.raises(JobFailed, match="3 controllers of Ray Train died within 60 s each"):
        driver._fit(controllers.fit, controllers.clock)
    assert controllers.begun == 4
