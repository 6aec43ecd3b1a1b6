"""What the program costs, as one table, with the machine's limits measured in the same run.

    .venv/bin/python benchmarks/bench.py [--only step,compression] [--out bench.json]

Each part runs in a process of its own. A figure is the median of its rounds, with the least and the
largest. Machines are noisy: compare figures of one run only.
"""

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from parts import allocator, compression, inference, saves, start, step, student
from parts.figures import Figure

PARTS = {
    "step": step.figures,
    "student": student.figures,
    "inference": inference.figures,
    "compression": compression.figures,
    "saves": saves.figures,
    "start": start.figures,
    "allocator": allocator.figures,
}


def main() -> None:
    """Measure the parts, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--out", default="bench.json", help="the file to write")
    for hidden in ("--part", "--step-of", "--allocator"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        print(json.dumps(list(PARTS[args.part]())))
    elif args.step_of:
        print(json.dumps(list(step.measure(args.step_of))))
    elif args.allocator:
        print(allocator.step_ms(keep=args.allocator == "kept"))
    else:
        chosen = args.only.split(",")
        if unknown := [name for name in chosen if name not in PARTS]:
            parser.error(f"--only {unknown[0]}: expected some of {', '.join(PARTS)}")
        measure(chosen, Path(args.out))


def measure(chosen: list[str], out: Path) -> None:
    """Measure the chosen parts, and show and write their figures."""
    measured: dict[str, list[Figure]] = {}
    for name in chosen:
        command = [sys.executable, __file__, "--part", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        measured[name] = [Figure(*values) for values in json.loads(done.stdout)]
        show(measured[name])
    result: dict[str, Any] = {"machine": machine(), "parts": {}}
    for name, figures in measured.items():
        result["parts"][name] = [figure._asdict() for figure in figures]
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{machine()}; written to {out}")


def show(figures: list[Figure]) -> None:
    """Print the rows of a part."""
    for one in figures:
        spread = f"{one.low:.3g} - {one.high:.3g}"
        print(
            f"{one.what:45s} {one.median:9.3g} {one.unit:16s} {spread:18s} {one.beside}", flush=True
        )


def machine() -> str:
    """The processor and the number of cores that this process may use."""
    from ardm.training.devices import cores_here

    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{cores_here()} cores of {names[0] if names else platform.processor()}"


if __name__ == "__main__":
    main()
