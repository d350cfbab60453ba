"""The commands' own arguments, help pages and what to say of a mistyped command: cyclopts at work.

cyclopts is given the tree of `tree.py`; the functions behind it bring their parameters and docstrings. It never sees
the options of `options.py`, which `command_line.py` has taken out. For the help pages it is told of them all the same,
by functions that have them as parameters and are never called.
"""

from __future__ import annotations

import difflib
import inspect
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from omdb import tree
from omdb.errors import UsageError
from omdb.help import HelpPage
from omdb.options import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from omdb.command_line import CommandLine
    from omdb.options import Option
    from omdb.render.text import Line

_NOT_THE_SESSION = r"^(?!session$)"


def bind(line: CommandLine) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The positional and named arguments for the command's function. Raises UsageError."""
    try:
        _, bound, _ = _app().parse_args([*line.path, *line.rest], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise _usage_error(error, line) from None
    return bound.args, bound.kwargs


def explain_unknown(line: CommandLine) -> UsageError:
    """What is wrong with a line whose words lead to a group, and go on."""
    try:
        bind(line)
    except UsageError as error:
        return error
    raise AssertionError(f"{line.path} is a group and cannot take {line.rest}")


def help_page(path: tuple[str, ...]) -> list[Line]:
    page = HelpPage()
    app = _app(opened=path)
    app.help_formatter = page
    app.help_print(path)
    return page.lines


def _app(*, opened: tuple[str, ...] | None = None) -> App:
    """Of the commands in the group `opened`, the functions are loaded: their docstrings are wanted."""
    app = _new_app("omdb", tree.ROOT, path=(), opened=opened)
    app.default_parameter = Parameter(parse=_NOT_THE_SESSION, negative=(), show_default=False)
    return app


def _new_app(word: str, group: tree.Group, *, path: tuple[str, ...], opened: tuple[str, ...] | None) -> App:
    app = App(
        word,
        help=group.help,
        help_format="plaintext",
        help_flags=(),
        version_flags=(),
        group_parameters=Group("Options", sort_key=0),
    )
    if options := [option for option in OPTIONS if path in option.scopes]:
        app.meta.default(_documented(options, path=path))
    for name, node in group.commands.items():
        if isinstance(node, tree.Group):
            app.command(_new_app(name, node, path=(*path, name), opened=opened))
        elif path == opened:
            app.command(node.load(), name=name)
        else:
            app.command(node.function, name=name)
    return app


def _documented(options: Sequence[Option], *, path: tuple[str, ...]) -> Callable[..., None]:
    """A function that has `options` as its parameters, to be looked at only."""
    heading = Group(f"Options of {' '.join(('omdb', *path))}" if path else "Global options", sort_key=2 - len(path))

    def never_called(**_: object) -> None:
        raise AssertionError("options that may stand anywhere are read by command_line.py")

    parameters = []
    for option in options:
        value: Any = bool if option.is_flag else Literal[option.choices] if option.choices else str
        shown = Parameter(
            name=[name for name in (option.short, option.name) if name],
            help=option.help,
            env_var=option.env,
            group=heading,
            metavar=option.metavar,
            show_default=option.default is not None,
        )
        name = option.name.removeprefix("--").replace("-", "_")
        default: Any = False if option.is_flag else option.default
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[value, shown])
        )
    never_called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    never_called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return never_called


def _usage_error(error: CycloptsError, line: CommandLine) -> UsageError:
    command = " ".join(("omdb", *line.path))
    return UsageError(f"{_text(error, line)}\nFor what can be typed: {command} --help")


def _text(error: CycloptsError, line: CommandLine) -> str:
    match error:
        case UnknownCommandError(unused_tokens=[str(token), *_]) if token.startswith("-"):
            return _unknown_option(f"Unknown option: {token}.", token, line)
        case UnknownOptionError():
            return _unknown_option(str(error), error.token.keyword or error.token.value, line)
        case UnusedCliTokensError(unused_tokens=[str(token), *_]):
            return f'Unexpected argument "{token}".'
        case MissingArgumentError(argument=argument) if argument is not None:
            return f"Missing argument {argument.name}."
        case CoercionError(argument=argument, token=token) if argument is not None and token is not None:
            return f'Invalid value "{token.value}" for {argument.name}{_expectation(argument.hint)}.'
        case _:
            return str(error)


def _unknown_option(text: str, token: str, line: CommandLine) -> str:
    """cyclopts compares with the command's own options only."""
    names = [option.name for option in OPTIONS if option.accepted_under(line.path)]
    close = difflib.get_close_matches(token.partition("=")[0], names, n=1)
    return f"{text} Did you mean {close[0]}?" if close and "Did you mean" not in text else text


def _expectation(hint: Any) -> str:
    """What a value was to be. An argument that may be left out is None then, which nobody can type."""
    if get_origin(hint) in (UnionType, Union):
        (hint,) = (member for member in get_args(hint) if member is not NoneType)
    if get_origin(hint) is Literal:
        return f". Choose from: {', '.join(get_args(hint))}"
    return f": not a {getattr(hint, '__name__', str(hint))}"
