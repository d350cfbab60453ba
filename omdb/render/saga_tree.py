"""The DAG of a saga as a tree of stages, in the manner of Steno's status output. Pure.

    +-- stage  0: (start node)
    +-- stage  1: + (actions in parallel)
                  +-- CreateDisk (produces "disk")
                  +-- AllocateAddress (produces "address")

A node's stage is the length of the longest way to it from the start.
"""

from __future__ import annotations

import json

from nexus.api.experimental_types import CrashInjection, FailInjection, RepeatInjection, SagaNode
from nexus.api.types import ActionFailed, InjectedError, SagaFailed, SagaStuck
from omdb.render.text import indent, line, printable
from omdb.render.times import to_milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from nexus.api.experimental_types import DagNode, Injection, InjectionView, SagaDetails, SagaTypeView
    from nexus.api.types import SagaErrorInfo
    from omdb.render.text import Line

_STATUS_STYLES = {
    "started": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "undo_started": "running",
    "undo_failed": "stuck",
}


def saga_lines(saga: SagaDetails) -> list[Line]:
    """A saga in memory: what is known of it as a whole, its DAG with the status of each node, its injections."""
    state = saga.state.__struct_config__.tag
    assert isinstance(state, str), "saga states are tagged by name"
    facts = [
        ("saga id", line(str(saga.id))),
        ("saga name", line(printable(saga.name))),
        ("state", line((state, state), ", unwinding" if saga.unwinding else "")),
        ("SEC", line(f"{saga.sec_id}, under claim {saga.claim}")),
        ("parameters", line(printable(json.dumps(saga.params)))),
    ]
    if saga.waiting_for is not None:
        facts.append(("waiting for", line((printable(saga.waiting_for), "warning"))))
    if isinstance(saga.state, SagaFailed | SagaStuck):
        facts.append(("failed node", line(printable(saga.state.error_node_name))))
        facts.append(("error", line((_error_text(saga.state.error_info), "failed"))))
    if isinstance(saga.state, SagaStuck):
        facts.append(("stuck in undoing", line(printable(saga.state.undo_error_node_name))))
        facts.append(("undo error", line((_source_text(saga.state.undo_source_error), "failed"))))
    width = max(len(name) for name, _ in facts) + 2
    lines = [(*line(f"{name}:".ljust(width)), *value) for name, value in facts]
    lines += [(), line(f"+ saga execution: {saga.id}"), *tree(saga.nodes, _node_line)]
    lines += [(), *_history_lines(saga)]
    if saga.injections:
        lines += [(), line("injections:"), *(line("  ", *_injection_spans(each)) for each in saga.injections)]
    return lines


def _error_text(error: SagaErrorInfo) -> str:
    match error:
        case ActionFailed(source_error):
            return _source_text(source_error)
        case InjectedError():
            return "injected"
        case _:
            return f"{type(error).__name__}: {printable(error.message)}"


def _source_text(source_error: Any) -> str:
    """What the action raised: its message, where there is nothing else to it."""
    match source_error:
        case {"message": str(message)} if len(source_error) == 1:
            return printable(message)
        case _:
            return printable(json.dumps(source_error))


def _history_lines(saga: SagaDetails) -> list[Line]:
    if saga.history is None:
        return [line("claims: not known, the database does not answer")]
    return [
        line("claims:"),
        *(
            line(
                f"  {each.claim}: {to_milliseconds(each.time)}, {printable(each.reason)}, SEC {each.sec_id}, "
                f"adopt generation {each.adopt_generation}"
            )
            for each in saga.history
        ),
    ]


def _node_line(node: DagNode) -> Line:
    assert isinstance(node, SagaNode), "a saga's nodes have a status"
    notes = []
    if node.since is not None:
        notes.append(f"since {to_milliseconds(node.since)}")
    if node.held:
        notes.append("held until it is released")
    if node.waiting_on:
        notes.append(f"waits for {', '.join(map(printable, node.waiting_on))}")
    if node.repeated_actions:
        notes.append(f"calls of the action before this one: {node.repeated_actions}")
    if node.repeated_undos:
        notes.append(f"calls of the undo before this one: {node.repeated_undos}")
    status = (printable(node.status), _STATUS_STYLES.get(node.status, ""))
    return line(status, ": ", node_text(node), "".join(f"; {note}" for note in notes))


def _injection_spans(view: InjectionView) -> Line:
    fired = ("fired", "failed") if view.fired else ("not fired", "warning")
    return line(fired, f": {printable(_injection_text(view.injection))}")


def _injection_text(injection: Injection) -> str:
    match injection:
        case FailInjection(node_name, call):
            return f'fail the {call} of "{node_name}"'
        case RepeatInjection(node_name, call, times):
            return f'call the {call} of "{node_name}" {times} times'
        case CrashInjection(node_name, event, when):
            return f'crash {when} "{event}" of "{node_name}" is durable'


def saga_type_lines(saga_type: SagaTypeView) -> list[Line]:
    """A type: parameters with their defaults, then the DAG of a saga that is made with the defaults."""
    lines = [line("saga type: ", (f'"{printable(saga_type.name)}"', "name"))]
    lines += indent(_parameter_lines(saga_type), 2)
    if saga_type.nodes is None:
        lines.append(line("  DAG: depends on the parameters, which have no defaults"))
    else:
        lines.append(line("  DAG:" if not saga_type.params else "  DAG, with these defaults:"))
        lines += indent(tree(saga_type.nodes, lambda node: line(node_text(node))), 4)
    return [*lines, ()]


def tree(nodes: Sequence[DagNode], describe: Callable[[DagNode], Line]) -> list[Line]:
    """Each node as `describe` puts it."""
    lines: list[Line] = []
    for number, stage in enumerate(_stages(nodes)):
        head = f"+-- stage {number:>2}: "
        if len(stage) == 1:
            lines.append((*line(head), *describe(stage[0])))
        else:
            lines.append(line(head, "+ (actions in parallel)"))
            lines += [(*line(" " * len(head), "+-- "), *describe(node)) for node in stage]
    return lines


def node_text(node: DagNode) -> str:
    """`CreateDisk (produces "disk")`; Start and End produce nothing."""
    label = printable(node.label)
    return f'{label} (produces "{printable(node.name)}")' if node.has_output else label


def _stages(nodes: Sequence[DagNode]) -> list[list[DagNode]]:
    """By stage, in each by node id. What is in a cycle, which no DAG of ours has, comes last."""
    stage_of: dict[int, int] = {}
    left = list(nodes)
    while left:
        found = [node for node in left if all(parent in stage_of for parent in node.parents)] or left
        for node in found:
            stage_of[node.node_id] = 1 + max((stage_of.get(parent, -1) for parent in node.parents), default=-1)
        left = [node for node in left if node.node_id not in stage_of]
    stages: list[list[DagNode]] = [[] for _ in range(1 + max(stage_of.values(), default=-1))]
    for node in sorted(nodes, key=lambda each: each.node_id):
        stages[stage_of[node.node_id]].append(node)
    return stages


def _parameter_lines(saga_type: SagaTypeView) -> list[Line]:
    """The members of the parameters, as the JSON schema has them; the schema itself for what is no object."""
    schema = _resolve(saga_type.params, saga_type.params)
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return [line(f"parameters: {printable(json.dumps(saga_type.params))}")]
    if not properties:
        return [line("parameters: none")]
    defaults = saga_type.default_params if isinstance(saga_type.default_params, dict) else {}
    required = schema.get("required", [])
    lines = [line("parameters:")]
    for name, member in properties.items():
        kind = _type_text(_resolve(saga_type.params, member))
        if name in defaults:
            given = f" = {json.dumps(defaults[name])}"
        elif isinstance(member, dict) and "default" in member:
            given = f" = {json.dumps(member['default'])}"
        else:
            given = " (required)" if name in required else " (optional)"
        lines.append(line(f"  {printable(name)}: {printable(kind)}{printable(given)}"))
    return lines


def _resolve(root: dict[str, Any], schema: Any) -> dict[str, Any]:
    """The definition that a `$ref` of msgspec's points to, else the schema itself."""
    if isinstance(schema, dict) and isinstance(reference := schema.get("$ref"), str):
        schema = root.get("$defs", {}).get(reference.rpartition("/")[2])
    return schema if isinstance(schema, dict) else {}


def _type_text(schema: dict[str, Any]) -> str:
    match schema:
        case {"type": "array", "items": dict(items)}:
            return f"array of {_type_text(items)}"
        case {"format": str(format)}:
            return format
        case {"type": str(kind)}:
            return kind
        case {"anyOf": list(options)}:
            return " or ".join(_type_text(option) for option in options if isinstance(option, dict))
        case {"enum": list(values)}:
            return " or ".join(json.dumps(value) for value in values)
        case _:
            return "any"
