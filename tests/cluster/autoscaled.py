"""A cluster whose spot nodes come from Ray's autoscaler: asked for by a run, replaced when gone."""

import json
from pathlib import Path
from typing import Any

from ray._private.ray_constants import PROCESS_TYPE_RAYLET  # private: what Ray calls a raylet
from ray.autoscaler._private.fake_multi_node.node_provider import (  # private: the only one here
    FakeMultiNodeProvider,
)

from ardm.chaos.nodes import Nodes
from ardm.cluster import access, raylet

HEAD = "f" * 51 + "00000"
ENVIRONMENT = {
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "PYTHONPATH": str(Path(__file__).parents[2]),
}
COMMANDS = (
    "setup_commands", "head_setup_commands", "worker_setup_commands", "head_start_ray_commands",
    "worker_start_ray_commands", "initialization_commands", "rsync_exclude", "rsync_filter",
    "cluster_synced_files",
)  # fmt: skip


class Spot(FakeMultiNodeProvider):
    """Ray's provider of nodes on this machine, which notices that one is gone, as a cloud does."""

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        with self.lock:
            for name, about in list(self._nodes.items()):
                dead = about["node"].dead_processes() if "node" in about else []
                if any(kind == PROCESS_TYPE_RAYLET for kind, _ in dead):
                    del self._nodes[name]
        return super().non_terminated_nodes(tag_filters)


class Autoscaled(Nodes):
    """A head without CPU, and up to two spot nodes with one each."""

    def spots(self) -> list[raylet.Raylet]:
        """The nodes that the autoscaler has started and that live."""
        return [
            node
            for node in raylet.here()
            if node.address == self.address and node.node_id != self.head.node_id
        ]

    def start(self, *options: str, agent: int) -> raylet.Raylet:
        (port,) = (word.partition("=")[2] for word in options if word.startswith("--port="))
        config = self._folder / "autoscaling.json"
        config.write_text(json.dumps(_config(port)))
        self._environment |= ENVIRONMENT | {
            "RAY_CLOUD_INSTANCE_ID": HEAD,
            "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
        }
        return super().start(*options, f"--autoscaling-config={config}", agent=agent)


def _config(port: str) -> dict[str, Any]:
    return {
        "cluster_name": "spot",
        "max_workers": 2,
        "idle_timeout_minutes": 5,
        "upscaling_speed": 1.0,
        "provider": {
            "type": "external",
            "module": f"{__name__}.Spot",
            "head_node_id": HEAD,
            "launch_multiple": True,
            "gcs_address": f"{access.ADDRESS}:{port}",
        },
        "auth": {},
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "spot": {
                "resources": {"CPU": 1},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 2,
            },
        },
    } | {command: [] for command in COMMANDS}
