"""`python -m xtask`: developer commands, in an environment that is made on first use.

Parses on old Pythons, as `xtask.bootstrap` does.
"""

import sys

from xtask.bootstrap import DEV_LOCKS, RUNTIME_LOCKS, end_on_interrupt, enter_current

DEV_COMMANDS = ("check", "check-guarantees", "fuzz", "test")


def main() -> None:
    end_on_interrupt(130)
    locks = DEV_LOCKS if sys.argv[1:2] and sys.argv[1] in DEV_COMMANDS else RUNTIME_LOCKS
    enter_current("xtask", locks)

    from xtask.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
