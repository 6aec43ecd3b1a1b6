"""The command that runs beside Ray on every node of a cluster: node-agent."""

import logging
import signal
from functools import partial
from types import FrameType
from typing import Annotated

import typer

from ardm.cli.console import errors_as_messages

START_PATIENCE = 10.0
"""Seconds to wait for a Ray node that is being started at the same time."""


@errors_as_messages
def node_agent(
    node_id: Annotated[
        str | None, typer.Option(help="The Ray node; default: the only one on this machine.")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Its head, host:port; only nodes of that one are looked at.")
    ] = None,
    deadline: Annotated[
        float, typer.Option(min=1.0, help="Seconds from a notice to the end of the machine.")
    ] = 25.0,
) -> None:
    """Drain this machine's Ray node when Google announces its end, or at SIGTERM."""
    # Imported before it is needed: at a notice every second counts.
    import ray  # noqa: F401

    from ardm.cluster import node_agent as agent
    from ardm.cluster import raylet

    # A library may have set up logging by being imported.
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
    node = raylet.find(node_id, address, START_PATIENCE)
    notices: agent.Notices = agent.Notices()

    def take(signum: int, frame: FrameType | None) -> None:
        notices.put(signal.Signals(signum).name)

    signal.signal(signal.SIGTERM, take)
    # The end of the session that started the agent is not the end of the machine.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.info("watching over Ray node %s of %s", node.node_id, node.address)
    agent.watch(notices)
    agent.serve(notices, partial(raylet.drain, node), node.alive, deadline)


COMMANDS = (node_agent,)
