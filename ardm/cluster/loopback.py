"""Keeps a Ray that we start on the loopback interface: it is for this machine alone.

`ray start --node-ip-address=127.0.0.1` (2.60) takes the outer address instead, and most of its
servers listen there. Its own switch for machines that shall show no port to the network, made for
laptops, is a variable; it lets a single node start.
"""

from collections.abc import Mapping
from typing import Any

ADDRESS = "127.0.0.1"

ENVIRONMENT = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_START_HOOK": "ardm.cluster.loopback.configure",
}
"""Variables of `ray start` and of all that it starts."""


def past_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables by which every library reaches this machine itself, and through no proxy.

    Args:
        environ: the variables that there are.
    """
    if not any(name.lower() in ("http_proxy", "https_proxy", "all_proxy") for name in environ):
        return {}
    before = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    hosts = [host.strip() for host in before.split(",") if host.strip()]
    hosts += [host for host in ("localhost", ADDRESS, "::1") if host not in hosts]
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(hosts))


def configure(params: Any, head: bool) -> None:
    """Called by `ray start` with its options before it starts anything.

    Args:
        params: Ray's `RayParams`.
        head: whether this will be the head; further nodes are for tests and `ardm chaos`.
    """
    from ardm.cluster._ray import ray_constants, services

    params.node_ip_address = ADDRESS
    params.ray_client_server_port = None  # nobody uses it, and one process less has to start
    if not head:
        # Ray would refuse to join, or look for the head at the outer address.
        ray_constants.ENABLE_RAY_CLUSTER = True
        services.resolve_ip_for_localhost = lambda host: host
