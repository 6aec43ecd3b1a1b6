import signal
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ardm.training.group import MESSAGE_BYTES, Alone, Processes
from tests.training.setting import bits, together

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("kind", [Alone, Processes])
def test_a_group_of_one_gathers_its_own_tree_with_one_more_axis(kind):
    group = kind()
    tree = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.int32(7)}
    assert (group.rank, group.size) == (0, 1)
    gathered = group.gather(tree)
    assert {k: v.shape for k, v in gathered.items()} == {"a": (1, 2, 3), "b": (1,)}
    assert bits(jax.tree.map(lambda x: x[0], gathered)) == bits(tree)


@pytest.mark.parametrize("kind", [Alone, Processes])
@pytest.mark.parametrize("length", [0, 1, 255, 256, MESSAGE_BYTES])
def test_a_message_arrives_as_it_was_sent(kind, length):
    message = np.random.default_rng(length).bytes(length)
    assert kind().exchange(message) == [message]


def test_a_message_that_is_too_long_is_refused_before_anybody_waits_for_it():
    with pytest.raises(ValueError, match=str(MESSAGE_BYTES + 1)):
        Processes().exchange(b"x" * (MESSAGE_BYTES + 1))


def test_the_group_of_threads_that_these_tests_use_stacks_in_the_order_of_the_ranks():
    gathered = together(4, lambda member: member.gather(jnp.int32(member.rank * 10)))
    assert [list(np.asarray(tree)) for tree in gathered] == [[0, 10, 20, 30]] * 4


PEER = """
import os, signal, sys
import jax
from ardm.training.group import Processes

jax.config.update("jax_platforms", "cpu")
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]), cluster_detection_method="deactivate")
group = Processes()
assert group.gather(jax.numpy.arange(3.0)).shape == (2, 3)
assert group.exchange(b"x" * (7 * group.rank)) == [b"", b"x" * 7]
if group.rank == 1:
    os.kill(os.getpid(), signal.SIGKILL)
try:
    group.gather(jax.numpy.arange(3.0)).block_until_ready()
except Exception as error:
    print(type(error).__name__, flush=True)
os._exit(0)  # a normal exit would wait for the other process
"""


def test_a_worker_whose_peer_is_killed_gets_a_runtime_error_of_jax():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    peers = [
        subprocess.Popen([sys.executable, "-c", PEER, address, str(rank)], stdout=subprocess.PIPE)
        for rank in range(2)
    ]
    outputs = [peer.communicate(timeout=120)[0].decode() for peer in peers]
    assert [peer.returncode for peer in peers] == [0, -signal.SIGKILL]
    assert outputs[0].splitlines()[-1] == "JaxRuntimeError"
