"""Effect of the settings of a job: variants of it, trained for equal times and compared in pairs.

    .venv/bin/python benchmarks/ablation.py [jobs/binmnist.yaml] [--minutes 12]

First a short run measures the speed of each variant, with the whole machine to itself. From it
follows the number of steps that the variant makes in the given time, so its learning rate reaches
the end. After that nothing is timed: `--at-once 2` trains two variants together, each on a core of
its own, which takes less time than one after the other. `ardm compare` then evaluates all variants
on the same validation images, orders and generation steps. If the benchmark is interrupted, run it
again: it continues.
"""

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

VARIANTS: dict[str, list[str]] = {
    "base": [],
    "uniform-t": ["training.t_sampling=uniform"],
    "antithetic-t": ["training.t_sampling=antithetic"],
    "width-48": ["model.net.channels=48"],
    "width-96": ["model.net.channels=96"],
    "batch-16": ["training.batch_size=16"],
    "batch-64": ["training.batch_size=64"],
    "patch-1": ["model.net.patch=1", "model.net.attention=[7]", "model.net.multipliers=[1, 1, 1]"],
    "patch-4": ["model.net.patch=4", "model.net.multipliers=[1]"],
    "ema-9995": ["training.ema=0.9995"],
    "ema-998": ["training.ema=0.998"],
    "adamw": [
        "training.optimizer=adam",
        "training.weight_decay=0.01",
        "training.learning_rate=2.0e-3",
    ],
    "decay": ["training.weight_decay=0.1"],
    "dropout": ["model.net.dropout=0.1"],
    "rate-3e-3": ["training.learning_rate=3.0e-3"],
    "rate-8e-3": ["training.learning_rate=8.0e-3"],
    "end-at-a-tenth": ["training.final_learning_rate=5.0e-4"],
    "letters": ["model.objective=upscale", "model.upscale.levels=letters"],
    "permuted": ["model.objective=permuted"],
    "autoregressive": ["model.objective=autoregressive"],
}
"""Changes of each variant to the job; `base` comes first, and those of a text last."""

OF_TEXTS = ("base", "letters", "permuted", "autoregressive")

PACE_STEPS, WARM = 120, 20
"""Steps of the short run, and the number of steps at its beginning that are not timed."""

UNMEASURED = [
    "evaluation.every=100000000",
    "evaluation.first=null",
    "evaluation.samples=0",
    "evaluation.final_images=1",
]
"""Changes to every job, so that nothing but training takes time."""

ARDM = str(Path(sys.executable).with_name("ardm"))


class Series(NamedTuple):
    """What all variants have in common."""

    job: str
    store: str
    seed: int


def main() -> None:
    """Train the variants that are not trained yet, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", nargs="?", default="jobs/binmnist.yaml")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--store", help="by default runs-ablation, or runs-ablation-SEED")
    parser.add_argument(
        "--only",
        default=",".join(name for name in VARIANTS if name not in OF_TEXTS[1:]),
        help=f"names of variants, including base; for a text {','.join(OF_TEXTS)}",
    )
    parser.add_argument("--images", type=int, default=10_000, help="number of validation images")
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=1, help="variants trained together")
    args = parser.parse_args()
    chosen = args.only.split(",")
    store = args.store or "runs-ablation" + (f"-{args.seed}" if args.seed else "")
    series = Series(args.job, store, args.seed)
    steps = {}
    for name in chosen:
        steps[name] = steps_of(series, name, args.minutes)
        print(f"{name}: {steps[name]} steps in about {args.minutes:g} minutes", flush=True)
    train_all(series, steps, args.at_once)
    options = ["--split", "valid", "--images", str(args.images), "--passes", str(args.passes)]
    done = subprocess.run(
        [ARDM, "compare", *chosen, "--store", store, *options, "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    show(json.loads(done.stdout), steps)


def steps_of(series: Series, name: str, minutes: float) -> int:
    """The number of steps that a variant makes in the given time; begun runs keep theirs."""
    from ardm.store.registry import read_spec
    from ardm.store.run_directory import Run
    from ardm.store.store import Store

    run = Run(Store(series.store), name)
    if run.store.exists(run.job_file):
        return int(read_spec(run).training.steps)
    return max(round(pace(series, name) * minutes * 60.0), 1)


def train_all(series: Series, steps: dict[str, int], at_once: int) -> None:
    """Train all variants to their ends, several at once on equal shares of the cores."""
    cores = sorted(os.sched_getaffinity(0))
    shares: SimpleQueue[list[int]] = SimpleQueue()
    for number in range(at_once):
        shares.put(cores[number::at_once] or cores)

    def train_one(name: str) -> None:
        share = shares.get()
        try:
            train(series, name, steps[name], cores=share)
        finally:
            shares.put(share)
        print(f"{name} is trained", flush=True)

    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(train_one, steps))


def pace(series: Series, name: str) -> float:
    """Steps per second of a variant."""
    from ardm.events import event_log, kinds
    from ardm.store.run_directory import Run
    from ardm.store.store import Store

    run = Run(Store(series.store), f"{name}-pace")
    train(series, run.name, PACE_STEPS, f"evaluation.first={WARM}", "evaluation.images=1")
    # A later attempt finds the run completed, and evaluates once more.
    evaluated = [e for e in event_log.read(run, 1) if isinstance(e, kinds.Evaluated)]
    first, last = (event for event in evaluated if event.split == "valid")
    return (last.step - first.step) / (last.time - first.time)


def train(
    series: Series, name: str, steps: int, *settings: str, cores: list[int] | None = None
) -> None:
    """Train in a separate process, on all cores or on some; a completed run is not changed."""
    changes = [
        *UNMEASURED,
        *VARIANTS[name.removesuffix("-pace")],
        f"training.steps={steps}",
        f"seed={series.seed}",
        *settings,
    ]
    sets = [part for change in changes for part in ("--set", change)]
    where = ["--store", series.store, "--run", name]
    command = [ARDM, "train", series.job, *where, "--no-progress", *sets]
    if cores:
        command = ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def show(comparison: dict, steps: dict[str, int]) -> None:
    """Print a row for each variant, with its difference from the first one."""
    against = {row["b"]: row for row in comparison["rows"] if row["a"] == "base"}
    print(f"{comparison['images']} {comparison['split']} images, {comparison['passes']} passes")
    print("| variant | changes | steps | bits/dim | nats more than base |")
    print("|---|---|---|---|---|")
    for run in comparison["runs"]:
        name, row = run["run"], against.get(run["run"])
        difference = "" if row is None else f"{-row['difference_nats']:+.2f} ± {row['se_nats']:.2f}"
        changes = ", ".join(f"`{change}`" for change in VARIANTS[name])
        figures = f"{run['nelbo_bpd']:.4f} ± {run['se_bpd']:.4f}"
        print(f"| {name} | {changes} | {steps[name]} | {figures} | {difference} |")


if __name__ == "__main__":
    main()
