"""The command tree: what can be typed, and where the function behind it lives. Plain data, no imports of commands.

A command's function is named by import path and loaded only when it runs. It takes `session` by keyword; its other
parameters are the command's own arguments and options, and its docstring is the help page of all that.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Command:
    __slots__ = ("function",)

    def __init__(self, function: str) -> None:
        self.function = function
        """Import path, `module:name`."""

    def load(self) -> Callable[..., int]:
        module, _, name = self.function.partition(":")
        function: Callable[..., int] = getattr(import_module(module), name)
        return function


class Group:
    __slots__ = ("commands", "help")

    def __init__(self, help: str, commands: Mapping[str, Command | Group]) -> None:
        self.help = help
        self.commands = commands

    def find(self, path: tuple[str, ...]) -> Command | Group:
        """What `path`, words that were read from this tree, leads to."""
        node: Command | Group = self
        for word in path:
            assert isinstance(node, Group), f"{path} goes on below a command"
            node = node.commands[word]
        return node


_DB = "omdb.commands.db"
_NEXUS = "omdb.commands.nexus"
_RECONFIGURATOR = "omdb.commands.reconfigurator"

ROOT = Group(
    "Look into a running control plane, and nudge it.",
    {
        "db": Group(
            "What the control plane's database says.",
            {
                "blueprints": Group(
                    "Blueprints, and which of them was the target when.",
                    {
                        "history": Command(f"{_DB}.blueprints_history:history"),
                        "list": Command(f"{_DB}.blueprints_list:list_"),
                        "show": Command(f"{_DB}.blueprints_show:show"),
                    },
                ),
                "db-metadata": Group(
                    "Which Nexuses may use the database.",
                    {
                        "force-mark-nexus-quiesced": Command(f"{_DB}.db_metadata_force_mark_nexus_quiesced:force_mark"),
                        "list-nexus": Command(f"{_DB}.db_metadata_ls_nexus:ls_nexus"),
                        "ls-nexus": Command(f"{_DB}.db_metadata_ls_nexus:ls_nexus"),
                    },
                ),
                "dns": Group(
                    "What DNS was to say, version by version.",
                    {
                        "diff": Command(f"{_DB}.dns_diff:diff"),
                        "names": Command(f"{_DB}.dns_names:names"),
                        "show": Command(f"{_DB}.dns_show:show"),
                    },
                ),
                "saga": Group(
                    "The sagas of all Nexuses, as they are recorded.",
                    {
                        "abandon": Command(f"{_DB}.saga_abandon:abandon"),
                        "inject-error": Command(f"{_DB}.saga_inject_error:inject_error"),
                        "running": Command(f"{_DB}.saga_running:running"),
                        "show": Command(f"{_DB}.saga_show:show"),
                    },
                ),
                "sleds": Command(f"{_DB}.sleds:sleds"),
            },
        ),
        "nexus": Group(
            "What one Nexus says of itself, asked through its internal API.",
            {
                "background-tasks": Group(
                    "The background tasks of a Nexus.",
                    {
                        "activate": Command(f"{_NEXUS}.background_tasks_activate:activate"),
                        "doc": Command(f"{_NEXUS}.background_tasks_doc:doc"),
                        "list": Command(f"{_NEXUS}.background_tasks_list:list_"),
                        "print-report": Command(f"{_NEXUS}.background_tasks_print_report:print_report"),
                        "show": Command(f"{_NEXUS}.background_tasks_show:show"),
                    },
                ),
                "blueprints": Group(
                    "What the control plane is to consist of.",
                    {
                        "delete": Command(f"{_NEXUS}.blueprints_delete:delete"),
                        "diff": Command(f"{_NEXUS}.blueprints_diff:diff"),
                        "edit": Command(f"{_NEXUS}.blueprints_edit:edit"),
                        "import": Command(f"{_NEXUS}.blueprints_import:import_"),
                        "list": Command(f"{_NEXUS}.blueprints_list:list_"),
                        "regenerate": Command(f"{_NEXUS}.blueprints_regenerate:regenerate"),
                        "show": Command(f"{_NEXUS}.blueprints_show:show"),
                        "target": Group(
                            "Which blueprint the control plane is to be like.",
                            {
                                "disable": Command(f"{_NEXUS}.blueprints_target_disable:disable"),
                                "enable": Command(f"{_NEXUS}.blueprints_target_enable:enable"),
                                "set": Command(f"{_NEXUS}.blueprints_target_set:set_"),
                                "show": Command(f"{_NEXUS}.blueprints_target_show:show"),
                            },
                        ),
                    },
                ),
                "quiesce": Group(
                    "Whether a Nexus is coming to its end on purpose.",
                    {
                        "show": Command(f"{_NEXUS}.quiesce_show:show"),
                        "start": Command(f"{_NEXUS}.quiesce_start:start"),
                    },
                ),
                "reconfigurator-config": Group(
                    "What the planner, which makes blueprints, may do.",
                    {
                        "set": Command(f"{_NEXUS}.reconfigurator_config_set:set_"),
                        "show": Command(f"{_NEXUS}.reconfigurator_config_show:show"),
                    },
                ),
                "sagas": Group(
                    "The sagas that a Nexus holds in memory.",
                    {
                        "create": Command(f"{_NEXUS}.sagas_create:create"),
                        "demo-complete": Command(f"{_NEXUS}.sagas_demo_complete:demo_complete"),
                        "demo-create": Command(f"{_NEXUS}.sagas_demo_create:demo_create"),
                        "inject": Command(f"{_NEXUS}.sagas_inject:inject"),
                        "list": Command(f"{_NEXUS}.sagas_list:list_"),
                        "release": Command(f"{_NEXUS}.sagas_release:release"),
                        "show": Command(f"{_NEXUS}.sagas_show:show"),
                        "types": Command(f"{_NEXUS}.sagas_types:types"),
                    },
                ),
                "sleds": Group(
                    "The sleds of the rack.",
                    {
                        "expunge": Command(f"{_NEXUS}.sleds_expunge:expunge"),
                        "list-uninitialized": Command(f"{_NEXUS}.sleds_list_uninitialized:list_uninitialized"),
                    },
                ),
            },
        ),
        "reconfigurator": Group(
            "What the control plane is to consist of, as the database says.",
            {"export": Command(f"{_RECONFIGURATOR}.export:export")},
        ),
    },
)
