"""A Ray of its own, in which an actor dies that held the only CPU; prints who has it then."""

import time

import ray
from ray.exceptions import RayActorError

from ardm.cluster import workers


@ray.remote(num_cpus=0)
class Controller:
    def take(self) -> None:
        ray.get(ray.util.placement_group([{"CPU": 1}]).ready())


def free_cpus() -> float:
    return ray.available_resources().get("CPU", 0.0)


if __name__ == "__main__":
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    controller = Controller.remote()
    ray.get(controller.take.remote())
    ray.kill(controller)
    try:
        ray.get(controller.take.remote())
    except RayActorError:
        print(free_cpus())
    workers.free_placement_groups()
    while not free_cpus():
        time.sleep(0.1)
    print(free_cpus())
