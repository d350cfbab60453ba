"""`python -m omdb`: the control plane's debugger.

Parses on old Pythons, as `xtask.bootstrap` does.
"""

import os
import signal
import sys

from xtask.bootstrap import enter


def main() -> None:
    # Not KeyboardInterrupt: raised in a finalizer or a callback it is lost, and omdb would wait for its answer.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    enter("omdb")

    from omdb.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
