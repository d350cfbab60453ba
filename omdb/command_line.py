"""First look at the command line: which command, which of the options that may stand anywhere, and what is left.

Every token is read in one place only. The words that name a command and the options of `options.py` are read here;
all that is left is for the command itself and is read by cyclopts (`grammar.py`). So a command line with nothing left,
which is nearly every one, runs without loading cyclopts, and there is nothing the two could disagree about.

Pure: no I/O, and the environment is an argument.
"""

from __future__ import annotations

from omdb.errors import UsageError
from omdb.options import HELP, OPTIONS, Settings
from omdb.tree import ROOT, Group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from omdb.options import Option
    from omdb.tree import Command


class CommandLine:
    """What was typed. `rest` holds what is neither a command word nor an option of `options.py`, in order."""

    __slots__ = ("help", "path", "rest", "settings")

    def __init__(self, path: tuple[str, ...], rest: tuple[str, ...], *, settings: Settings, help: bool) -> None:
        self.path = path
        self.rest = rest
        self.settings = settings
        self.help = help


def read_command_line(tokens: Sequence[str], environ: Mapping[str, str]) -> CommandLine:
    """Raises UsageError for an option of `options.py` that is misused.

    `help` may take the place of a command in every group, as in `omdb nexus help sagas`. After `--` nothing is an
    option.
    """
    by_name = {name: option for option in OPTIONS for name in (option.name, option.short) if name}
    node: Command | Group = ROOT
    path: list[str] = []
    rest: list[str] = []
    given: dict[Option, str] = {}
    help = False
    naming = True  # the words that name a command are not over yet
    remaining = iter(tokens)
    for token in remaining:
        if token == "--":
            rest += [token, *remaining]
        elif option := by_name.get(token.partition("=")[0]):
            value = _value(option, token, remaining)
            if option in given and not option.is_flag:
                raise UsageError(f"Option {option.name} is given twice.")
            given[option] = value
        elif naming and isinstance(node, Group) and token == "help":
            help = True
        elif naming and isinstance(node, Group) and token in node.commands:
            path.append(token)
            node = node.commands[token]
        else:
            naming = naming and _is_option(token)
            rest.append(token)
    return CommandLine(tuple(path), tuple(rest), settings=Settings(given, environ), help=help or HELP in given)


def check_settings(line: CommandLine) -> None:
    """Raises UsageError for an option that the command does not have, or a value that is none of its choices."""
    for option in OPTIONS:
        if line.settings.has(option) and line.path and not option.accepted_under(line.path):
            groups = [f"`{' '.join(('omdb', *scope))}`" for scope in option.scopes]
            groups[-2:] = [" and ".join(groups[-2:])]
            raise UsageError(f"Option {option.name} is for the commands of {', '.join(groups)}.")
        value = line.settings[option]
        if option.choices and value not in option.choices:
            choices = ", ".join(option.choices)
            raise UsageError(f'Invalid value "{value}" for {line.settings.origin(option)}. Choose from: {choices}.')


def _value(option: Option, token: str, following: Iterator[str]) -> str:
    name, equals, value = token.partition("=")
    if option.is_flag:
        if equals:
            raise UsageError(f"Option {name} takes no value.")
    elif not equals:
        value = next(following, "-")
        if _is_option(value):
            raise UsageError(f"Option {name} needs a value: {name} {option.metavar}.")
    return value


def _is_option(token: str) -> bool:
    return token.startswith("-")
