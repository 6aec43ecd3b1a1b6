"""Small texts that stand for much; run as a program, it reads them all with little memory."""

import resource
from pathlib import Path

from ardm.errors import SpecError
from ardm.job.spec import parse

ROOM = 96 * 2**20
"""Bytes of memory for all texts, one after the other."""


def bomb(line: str, first: str, levels: int) -> str:
    lines = [f"a0: &a0 {first}"]
    for n in range(1, levels):
        lines.append(f"a{n}: &a{n} " + line.format(", ".join([f"*a{n - 1}"] * 9)))
    return "\n".join(lines)


BOMBS = [
    bomb("[{}]", "[x, x]", 12),
    bomb("{{<<: [{}]}}", "{x: 1}", 12),
    f"a: &a {'x' * 30_000}\nb: [{', '.join(['*a'] * 900)}]",
    "[" * 30_000,
    "- " * 15_000,
    "? " * 15_000,
    "{a: " * 7_000,
    "job: " + "9" * 30_000,
    "seed: 0x" + "f" * 30_000,
    "seed: 1" + ":1" * 15_000,
    "job: a\nmodel: {net: {multipliers: [" + "x," * 12_000 + "]}}",
    "\n".join(f"k{n}: 1" for n in range(3_000)),
    "job: a\nmodel: {net: {multipliers: [" + "1," * 12_000 + "]}}",
    "x" * 10_000_000,
    "&a " * 10_000,
    "!a" * 15_000,
    "# " * 16_000,
    "\n" * 32_000,
    "a: |\n" + " x\n" * 10_000,
    '"' + "\\n" * 15_000,
]


def main() -> None:
    """Print a line for each text that is refused as a job file, and some as an option."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    jobs = [(text, []) for text in BOMBS]
    jobs += [("job: a", [f"training={text}"]) for text in BOMBS[:4]]
    for job, options in jobs:
        try:
            parse(job, "job.yaml", options)
        except SpecError:
            print("refused")


if __name__ == "__main__":
    main()
