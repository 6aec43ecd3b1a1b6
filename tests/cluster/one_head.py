"""A provider for Ray's cluster launcher, whose head is up already, or is not there."""

from typing import Any

from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import (
    NODE_KIND_HEAD,
    STATUS_UP_TO_DATE,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_STATUS,
)


class OneHead(NodeProvider):
    """Machines that somebody else has started: the head at `provider.head`, if it is named."""

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        return ["head"] if self.provider_config.get("head") else []

    def is_running(self, node_id: str) -> bool:
        return True

    def is_terminated(self, node_id: str) -> bool:
        return False

    def node_tags(self, node_id: str) -> dict[str, Any]:
        return {TAG_RAY_NODE_KIND: NODE_KIND_HEAD, TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE}

    def external_ip(self, node_id: str) -> str:
        return str(self.provider_config["head"])

    def internal_ip(self, node_id: str) -> str:
        return self.external_ip(node_id)
