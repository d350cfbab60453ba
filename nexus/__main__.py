"""`python -m nexus CONFIG`: one Nexus process.

Parses on old Pythons, as `xtask.bootstrap` does.
"""

import sys

from xtask.bootstrap import enter


def main() -> None:
    enter("nexus")

    from nexus.command_line import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
