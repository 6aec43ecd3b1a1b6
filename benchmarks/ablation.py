"""What each choice of a job is worth: variants of it at equal wall time, compared in pairs.

    .venv/bin/python benchmarks/ablation.py [jobs/binmnist.yaml] [--minutes 12]

Each variant trains for as many steps as it makes in the same time, which a short run measures
first, so that its learning rate comes to its end. `ardm compare` then evaluates all of them on the
same validation images, orders and generation steps. Interrupted and started again, it goes on.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

VARIANTS: dict[str, list[str]] = {
    "base": [],
    "uniform-t": ["training.t_sampling=uniform"],
    "importance-t": ["training.t_sampling=importance"],
    "width-48": ["model.net.channels=48"],
    "width-96": ["model.net.channels=96"],
    "batch-16": ["training.batch_size=16"],
    "batch-64": ["training.batch_size=64"],
    "patch-1": ["model.net.patch=1", "model.net.attention=[7]", "model.net.multipliers=[1, 1, 1]"],
    "patch-4": ["model.net.patch=4", "model.net.multipliers=[1]"],
    "ema-0.9995": ["training.ema=0.9995"],
    "ema-0.998": ["training.ema=0.998"],
    "adamw": [
        "training.optimizer=adam",
        "training.weight_decay=0.01",
        "training.learning_rate=2.0e-3",
    ],
    "decay": ["training.weight_decay=0.1"],
    "dropout-0.1": ["model.net.dropout=0.1"],
    "rate-3e-3": ["training.learning_rate=3.0e-3"],
    "rate-8e-3": ["training.learning_rate=8.0e-3"],
    "end-at-a-tenth": ["training.final_learning_rate=5.0e-4"],
}
"""Changes to the job, of which each is tried alone; `base` comes first."""

PACE_STEPS, WARM = 120, 20
"""Steps of the short run, and those at its beginning that are not timed."""

UNMEASURED = [
    "evaluation.every=100000000",
    "evaluation.first=null",
    "evaluation.samples=0",
    "evaluation.final_images=1",
]
"""Nothing but training takes time."""

ARDM = str(Path(sys.executable).with_name("ardm"))


def main() -> None:
    """Train the variants that are not there yet, and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", nargs="?", default="jobs/binmnist.yaml")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--store", default="runs-ablation")
    parser.add_argument("--only", default=",".join(VARIANTS), help="names, base among them")
    parser.add_argument("--images", type=int, default=10_000, help="of the validation split")
    parser.add_argument("--passes", type=int, default=2)
    args = parser.parse_args()
    chosen = args.only.split(",")
    steps = {}
    for name in chosen:
        steps[name] = trained(args.job, args.store, name, args.minutes)
        print(f"{name}: {steps[name]} steps in about {args.minutes:g} minutes", flush=True)
    options = ["--split", "valid", "--images", str(args.images), "--passes", str(args.passes)]
    done = subprocess.run(
        [ARDM, "compare", *chosen, "--store", args.store, *options, "--json"],
        check=True,
        capture_output=True,
        text=True,
    )
    show(json.loads(done.stdout), steps)


def trained(job: str, store: str, name: str, minutes: float) -> int:
    """Train a variant unless that has been done; the number of its steps."""
    from ardm.store.registry import read_spec
    from ardm.store.run_directory import Run
    from ardm.store.store import Store

    run = Run(Store(store), name)
    if run.store.exists(run.job_file):
        steps = int(read_spec(run).training.steps)
    else:
        steps = max(round(pace(job, store, name) * minutes * 60.0), 1)
    train(job, store, name, steps)
    return steps


def pace(job: str, store: str, name: str) -> float:
    """Steps per second of a variant."""
    from ardm.events import event_log, kinds
    from ardm.store.run_directory import Run
    from ardm.store.store import Store

    run = Run(Store(store), f"{name}-pace")
    train(job, store, run.name, PACE_STEPS, f"evaluation.first={WARM}", "evaluation.images=1")
    events = [event for n in run.attempts() for event in event_log.read(run, n)]
    first, last = (event for event in events if isinstance(event, kinds.Evaluated))
    return (last.step - first.step) / (last.time - first.time)


def train(job: str, store: str, name: str, steps: int, *more: str) -> None:
    """Train in a process of its own; a completed run is left as it is."""
    changes = [*UNMEASURED, *VARIANTS[name.removesuffix("-pace")], f"training.steps={steps}", *more]
    sets = [part for change in changes for part in ("--set", change)]
    command = [ARDM, "train", job, "--store", store, "--run", name, "--no-progress", *sets]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def show(compared: dict, steps: dict[str, int]) -> None:
    """Print a row for each variant, with its difference from the first one."""
    against = {row["b"]: row for row in compared["rows"] if row["a"] == "base"}
    print(f"{compared['images']} {compared['split']} images, {compared['passes']} passes")
    print("| variant | changes | steps | bits/dim | nats more than base |")
    print("|---|---|---|---|---|")
    for run in compared["runs"]:
        name, row = run["run"], against.get(run["run"])
        more = "" if row is None else f"{-row['difference_nats']:+.2f} ± {row['se_nats']:.2f}"
        changes = ", ".join(f"`{change}`" for change in VARIANTS[name])
        figures = f"{run['nelbo_bpd']:.4f} ± {run['se_bpd']:.4f}"
        print(f"| {name} | {changes} | {steps[name]} | {figures} | {more} |")


if __name__ == "__main__":
    main()
