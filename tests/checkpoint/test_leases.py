import threading

from ardm.checkpoint import checkpoints, leases, preservation
from ardm.checkpoint.leases import EXPIRY, Leases
from ardm.checkpoint.pull import pull
from ardm.store.store import Store
from tests.clock import Clock
from tests.runner.scene import Scene
from tests.runner.setting import save


def test_a_lease_holds_while_it_changes_and_runs_out_when_it_does_not(run):
    clock = Clock()
    known = Leases(run, clock)
    assert not known.held(1, 4)
    run.store.write(run.lease(1, 4), b"a")
    assert known.held(1, 4)
    clock.now += EXPIRY - 1
    assert known.held(1, 4)
    run.store.write(run.lease(1, 4), b"b")
    clock.now += 2
    assert known.held(1, 4)
    clock.now += EXPIRY - 1
    assert known.held(1, 4)
    clock.now += 2
    assert not known.held(1, 4)
    assert not run.store.exists(run.lease(1, 4))


def test_a_checkpoint_that_somebody_reads_is_not_pruned(run):
    places = [save(run, 1, step) for step in (1, 2, 3)]
    held = {(1, 1)}
    gone = preservation.prune(places[-1], 1, None, held=lambda *item: item in held)
    assert gone == [2]
    assert [c.step for c in checkpoints.committed(run)] == [3, 1]


def test_a_slow_pull_of_a_live_run_succeeds(run, tmp_path, monkeypatch):
    """Each file takes longer than the run keeps a checkpoint."""
    monkeypatch.setattr(leases, "DELAY", 0.0)
    scene = Scene(run, keep_last=1)
    assert scene.offer(1, after=10.0)
    leased = threading.Event()
    slow = SavingMeanwhile(run, scene, leased)
    monkeypatch.setattr(Store, "fetch_tree" if not run.store.is_local else "path", slow.hook())
    result = pull(run, tmp_path / "here")
    monkeypatch.undo()
    assert result["step"] == 1
    assert result["skipped"] == []
    assert scene.saver.saved_step == 3


class SavingMeanwhile:
    """Has the run save twice, and prune, between a reader's first look and its reading."""

    def __init__(self, run, scene, leased) -> None:
        self.run, self.scene, self.done = run, scene, False
        self.plain = {"fetch_tree": Store.fetch_tree, "path": Store.path}

    def hook(self):
        name = "path" if self.run.store.is_local else "fetch_tree"

        def between(store, first, *rest):
            mine = store is self.run.store and "/checkpoints/" in first and first.endswith("/1")
            if mine and not self.done and threading.current_thread() is threading.main_thread():
                self.done = True
                lease = self.run.lease(self.scene.number, 1)
                while not self.run.store.exists(lease):
                    pass
                assert self.scene.offer(2, after=10.0)
                assert self.scene.offer(3, after=10.0)
            return self.plain[name](store, first, *rest)

        return between
