"""The program, by the name ``svcjobs`` or as ``python -m svcjobs``."""

import errno
import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended, as shells give it."""
TERMINATED = 143
"""The same, of one that SIGTERM ended."""


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(TERMINATED)


def main() -> None:
    """Run the command line. Ctrl-C ends it in one line, while it is still being imported too."""
    if os.getpid() == 1:  # for which the system has no default action: until a command heeds it, SIGTERM was ignored
        signal.signal(signal.SIGTERM, _end)
    try:
        from svcjobs.cli import main as program

        program(prog_name="svcjobs")
    except KeyboardInterrupt:
        sys.stderr.write("svcjobs: interrupted\n")
        sys.exit(INTERRUPTED)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.stderr.write(f"svcjobs: {error.strerror}: what it prints can't be written\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python would try again at its end, and complain
        sys.exit(1)


if __name__ == "__main__":
    main()
