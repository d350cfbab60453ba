"""`python -m nexus CONFIG`: one Nexus process.

Parses on old Pythons, as `xtask.bootstrap` does.
"""

import os
import sys

from xtask.bootstrap import end_on_interrupt, enter


def main() -> None:
    end_on_interrupt(0)
    enter("nexus")

    from nexus.command_line import run

    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Whoever stops a Nexus waits for its process to end; taking the interpreter apart would be most of that.
    os._exit(code)


if __name__ == "__main__":
    main()
