"""The program, by the name ``svcjobs`` or as ``python -m svcjobs``."""

import sys

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended, as shells give it."""


def main() -> None:
    """Run the command line. Ctrl-C ends it in one line, while it is still being imported too."""
    try:
        from svcjobs.cli import main as program

        program(prog_name="svcjobs")
    except KeyboardInterrupt:
        sys.stderr.write("svcjobs: interrupted\n")
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
