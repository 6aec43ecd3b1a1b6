"""The command `node-agent`, which runs on every node of a Ray cluster."""

import logging
import signal
from functools import partial
from types import FrameType
from typing import Annotated

import typer

from ardm.cli.console import errors_as_messages

START_TIMEOUT_S = 10.0
"""Time to wait for a Ray node that is started at the same time as the agent (seconds)."""


@errors_as_messages
def node_agent(
    node_id: Annotated[
        str | None, typer.Option(help="ID of the Ray node; default: the only node on this machine.")
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(help="Address of the cluster's head, host:port; other clusters are ignored."),
    ] = None,
    deadline: Annotated[
        float,
        typer.Option(min=1.0, help="Seconds from a preemption notice to the end of the machine."),
    ] = 25.0,
) -> None:
    """Drain the Ray node of this machine at a preemption notice of Google Cloud, or at SIGTERM."""
    # Imported in advance, because every second counts after a notice.
    import ray  # noqa: F401

    from ardm.cluster import node_agent as agent
    from ardm.cluster import raylet

    # An imported library may have configured logging.
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    node = raylet.find(node_id, address, START_TIMEOUT_S)
    notices: agent.Notices = agent.Notices()

    def on_sigterm(signum: int, frame: FrameType | None) -> None:
        notices.put(signal.Signals(signum).name)

    signal.signal(signal.SIGTERM, on_sigterm)
    # The session that started the agent may end long before the machine does.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.info("watching over Ray node %s of %s", node.node_id, node.address)
    agent.watch(notices)
    agent.serve(notices, partial(raylet.drain, node), node.alive, deadline)


COMMANDS = (node_agent,)
