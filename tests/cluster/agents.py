"""Node agents as processes of their own."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ardm.cluster import raylet
from tests.cluster.conftest import ARDM, wait_until


@contextmanager
def agent(node: raylet.Raylet, metadata: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command `ardm node-agent` for a node, from the moment it watches.

    Args:
        node: of this machine.
        metadata: host and port of the metadata server.
        log: what the agent says.
    """
    command = [ARDM, "node-agent", f"--node-id={node.node_id}", f"--address={node.address}"]
    with log.open("w") as out:
        environment = os.environ | {"GCE_METADATA_HOST": metadata}
        process = subprocess.Popen(command, stderr=out, env=environment)
    try:
        wait_until(lambda: "watching over" in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        process.kill()
        process.wait()
