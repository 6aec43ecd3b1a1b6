"""The commands that run on the machines of a Ray cluster: `node-agent`, `idle-stop`."""

import logging
import signal
from functools import partial
from types import FrameType
from typing import Annotated

import typer

from ardm import secrecy
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

    _log()
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


@errors_as_messages
def idle_stop(
    after: Annotated[
        float,
        typer.Option(min=0.01, help="Minutes without any job and without a second machine."),
    ] = 60.0,
    dashboard: Annotated[
        str, typer.Option(help="Address of the head's job server.")
    ] = "http://127.0.0.1:8265",
    node_id: Annotated[
        str | None, typer.Option(help="ID of the Ray node; default: the only node on this machine.")
    ] = None,
) -> None:
    """Delete this machine, the head of a cluster in Google's cloud, once nothing needs it."""
    from ardm.cluster import idle, raylet

    _log()
    node = raylet.find(node_id, patience=START_TIMEOUT_S)
    # The session that started this process may end long before the machine does.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    machine = idle.this_machine()
    logging.info("%s is deleted after %g idle minutes", machine, after)
    idle.serve(60.0 * after, machine, partial(idle.needed_by, dashboard), node.alive)


def _log() -> None:
    """Log to stderr; an imported library may have configured logging otherwise."""
    logging.basicConfig(
        level=logging.INFO, handlers=[secrecy.log_to(logging.StreamHandler())], force=True
    )


COMMANDS = (node_agent, idle_stop)
