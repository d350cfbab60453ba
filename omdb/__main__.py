"""`python -m omdb`: the control plane's debugger.

Parses on old Pythons, as `xtask.bootstrap` does.
"""

import sys

from xtask.bootstrap import enter


def main() -> None:
    enter("omdb")

    from omdb.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
