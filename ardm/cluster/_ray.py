"""All private names of Ray that ardm uses, as of Ray 2.60; no other file imports one.

Each name is imported on first use, since Ray's modules take seconds to import.
"""

from importlib import import_module
from typing import Any

READ_IN = "2.60"

NAMES = {
    # How many workers train: `scaling.py`.
    "ElasticScalingPolicy": "ray.train.v2._internal.execution.scaling_policy",
    "FixedScalingPolicy": "ray.train.v2._internal.execution.scaling_policy",
    "NoopDecision": "ray.train.v2._internal.execution.scaling_policy",
    "ResizeDecision": "ray.train.v2._internal.execution.scaling_policy",
    "ScalingDecision": "ray.train.v2._internal.execution.scaling_policy",
    "ScalingPolicy": "ray.train.v2._internal.execution.scaling_policy",
    "state": "ray._private.state",
    # A trainer without the helper processes for Ray's data sets: `workers.py`.
    "DataParallelTrainer": "ray.train.v2.api.data_parallel_trainer",
    "DatasetsCallback": "ray.train.v2._internal.callbacks.datasets",
    "FailureConfig": "ray.train.v2.api.config",
    "PlacementGroupCleanerCallback": ("ray.train.v2._internal.callbacks.placement_group_callback"),
    "RunConfig": "ray.train.v2.api.config",
    "ScalingConfig": "ray.train.v2.api.config",
    "get_address_and_port": "ray.train._internal.utils",
    # A process that waits to be the next worker: `spare.py`.
    "WORKER_PROCESS_SETUP_HOOK_ENV_VAR": "ray._private.ray_constants",
    "init_grpc_channel": "ray._private.grpc_utils",
    "node_manager_pb2": "ray.core.generated",
    "node_manager_pb2_grpc": "ray.core.generated",
    # A local Ray that listens on loopback alone: `access.py`.
    "ray_constants": "ray._private",
    "services": "ray._private",
    # Which token this process shows: `access.py`.
    "AuthenticationTokenLoader": "ray._raylet",
    "Config": "ray._raylet",
    # Draining a node, and why nodes died: `raylet.py`, `ardm.chaos.nodes`.
    "GcsClient": "ray._raylet",
    "GcsClientOptions": "ray._raylet",
    "GlobalState": "ray._private.state",
    "NodeDeathInfo": "ray.core.generated.common_pb2",
    "autoscaler_pb2": "ray.core.generated",
    # What `ray up` does to a file first: `ardm.doctor.cluster_file`.
    "prepare_config": "ray.autoscaler._private.util",
    "validate_config": "ray.autoscaler._private.util",
}
"""Name -> the module that has it."""

METHODS = {
    "DataParallelTrainer": ("_create_default_callbacks", "_initialize_and_run_controller"),
    "ElasticScalingPolicy": ("_count_possible_workers",),
    "GlobalState": ("node_table",),
    "services": ("resolve_ip_for_localhost",),
}
"""Class or module -> its private methods that ardm calls or overrides."""


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"{name} is not among the private names of Ray in {__name__}")
    module = NAMES[name]
    try:
        return getattr(import_module(module), name)
    except AttributeError:
        return import_module(f"{module}.{name}")
