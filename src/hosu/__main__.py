"""``python -m hosu`` is ``hosu``. The program is imported here, so that Ctrl-C is quiet while that lasts."""

from __future__ import annotations

import sys


def run() -> None:
    """Runs the program."""
    try:
        from hosu.cli.main import run as run_program

        run_program()
    except KeyboardInterrupt:
        sys.stderr.write("hosu: stopped\n")
        sys.exit(130)


if __name__ == "__main__":
    run()
