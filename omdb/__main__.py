"""`python -m omdb`: the control plane's debugger.

Parses on old Pythons, as `xtask.bootstrap` does.
"""

import sys

from xtask.bootstrap import enter


def main() -> None:
    enter("omdb")

    try:
        from omdb.cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while loading; `run` knows what to do about any other
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
