"""The DAG of a saga as a tree of stages, in the manner of Steno's status output. Pure.

    +-- stage  0: (start node)
    +-- stage  1: + (actions in parallel)
                  +-- CreateDisk (produces "disk")
                  +-- AllocateAddress (produces "address")

A node's stage is the length of the longest way to it from the start.
"""

from __future__ import annotations

import json

from omdb.render.text import indent, line, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from nexus.api.experimental_types import DagNode, SagaTypeView
    from omdb.render.text import Line

_REQUIRED = "required"


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
    return label if node.name == node.label else f'{label} (produces "{printable(node.name)}")'


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
    lines = [line("parameters:")]
    for name, member in properties.items():
        default = json.dumps(defaults[name]) if name in defaults else _REQUIRED
        kind = _type_text(_resolve(saga_type.params, member))
        lines.append(line(f"  {printable(name)}: {printable(kind)} = {printable(default)}"))
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
