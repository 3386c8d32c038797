"""``make demo``: index the standard library with background jobs, and show what became of each."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time

from rich.console import Console

from examples.stdlib_index.app import jobs
from examples.stdlib_index.memory_run import run_in_memory
from examples.stdlib_index.redis_run import run_on_redis
from examples.stdlib_index.report import report
from examples.stdlib_index.source import STDLIB, source_files


def main() -> int:
    """Run the demo; the exit status is 0 when every job is accounted for."""
    parser = argparse.ArgumentParser(prog="examples.stdlib_index", description=__doc__)
    parser.add_argument("--driver", choices=("memory", "redis"), default="memory")
    parser.add_argument("--files", type=int, metavar="N", help="index only the first N files")
    options = parser.parse_args()
    console = Console()
    paths = source_files()[: options.files]
    work = jobs(paths)
    console.print(f"{len(paths)} source files under {STDLIB}: {len(work)} jobs, on the {options.driver} driver")
    began = time.monotonic()
    outcome = asyncio.run(run_in_memory(work)) if options.driver == "memory" else run_on_redis(work, console)
    return report(console, work, outcome, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
