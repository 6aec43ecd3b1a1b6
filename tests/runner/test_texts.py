"""Attempts on texts: the same promises as for images, with every objective."""

import pytest

from ardm.events import kinds
from ardm.job.spec import parse
from ardm.runner import control
from tests.runner.setting import events, newest_digest, opened
from tests.runner.test_attempt import at, go

pytestmark = pytest.mark.slow

STEPS = 24
JOB = f"""
job: tiny-text
data: {{dataset: text, length: 16}}
model:
  net: {{kind: transformer, width: 8, blocks: 1, heads: 1, dropout: 0.1}}
  upscale: {{branch: 16}}
training: {{steps: {STEPS}, batch_size: 4, grad_shards: 2, warmup: 2, learning_rate: 1e-2}}
checkpoint: {{interval: 0, keep_last: 3}}
evaluation: {{every: 1000, images: 16, final_images: 16, samples: 2, sample_steps: 3}}
"""


@pytest.mark.parametrize("objective", ["oa", "upscale", "autoregressive", "permuted"])
def test_a_stopped_run_goes_on_to_the_same_end_and_leaves_texts(tmp_path, objective):
    spec = parse(JOB, "text.yaml", [f"model.objective={objective}"])
    whole, stopped = (opened(str(tmp_path), name, spec) for name in ("whole", "stopped"))
    assert go(whole, spec=spec).outcome == "completed"
    ended = go(stopped, at(5, lambda: control.request_stop(stopped), slow=0.3), spec=spec)
    assert ended.outcome == "stopped"
    assert go(stopped, spec=spec).outcome == "completed"
    assert newest_digest(stopped) == newest_digest(whole)
    assert whole.store.names("whole/samples") == [f"{STEPS:08d}.txt"]
    sheet = whole.store.read(f"whole/samples/{STEPS:08d}.txt").decode()
    assert sheet.startswith("--- 1 ---\n")
    assert "\n--- 2 ---\n" in sheet
    started = events(whole, 1, kinds.Started)[0]
    assert started.data["sizes"] == {"train": 616_288, "valid": 34_240, "test": 34_240}


def test_samples_are_in_the_text_tab_of_tensorboard(tmp_path):
    spec = parse(JOB, "text.yaml")
    run = opened(str(tmp_path), "run", spec)
    assert go(run, spec=spec).outcome == "completed"
    folder = "run/tensorboard"
    content = b"".join(run.store.read(f"{folder}/{name}") for name in run.store.names(folder))
    assert b"samples/text_summary" in content
    first_line = run.store.read(f"run/samples/{STEPS:08d}.txt").splitlines()[1]
    assert b"    " + first_line in content
