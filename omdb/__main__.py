"""`python -m omdb`: the control plane's debugger.

Parses on old Pythons, as `xtask.bootstrap` does.
"""

import sys

from xtask.bootstrap import end_on_interrupt, enter


def main() -> None:
    end_on_interrupt(130)  # to the end: nothing is lost, and a KeyboardInterrupt in a finalizer would be
    enter("omdb")

    from omdb.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
