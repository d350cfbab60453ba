"""Random shapes of sagas, and who depends on whom in them, computed without the engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from hypothesis import strategies as st

from nexus.saga.action import Action, ActionContext
from nexus.saga.dag_builder import Appendable, DagBuilder, subsaga
from nexus.saga.nodes import constant

if TYPE_CHECKING:
    from nexus.saga.dag import SagaDag


class Part(Enum):
    """What a node of a shape is."""

    ACTION = "action"
    NO_UNDO = "action without undo"
    CONSTANT = "constant"
    SUBSAGA_START = "start of a subsaga"
    SUBSAGA_END = "end of a subsaga"


@dataclass(frozen=True)
class Vertex:
    part: Part
    path: str
    """Names, from the outermost subsaga inwards. Both ends of a subsaga have the subsaga's."""

    parents: tuple[int, ...]
    params_from: int | None
    """The node whose output is what this one has as parameters; None for the saga's own."""


@dataclass(frozen=True)
class Shape:
    """Stages of parts and of shapes, which are subsagas. A subsaga's parameters are the output of the first of the
    stage before it, so it stands in no first stage.

    The nodes are numbered as they come, those of a subsaga between its start and its end; then Start, then End. Names
    are given anew in each subsaga.
    """

    stages: tuple[tuple[Element, ...], ...]

    @cached_property
    def vertices(self) -> list[Vertex]:
        """By node, without Start and End."""
        vertices: list[Vertex] = []

        def add(vertex: Vertex) -> int:
            vertices.append(vertex)
            return len(vertices) - 1

        def lay_out(shape: Shape, prefix: str, before: list[int], params_from: int | None) -> list[int]:
            for stage in shape.named_stages:
                after: list[int] = []
                for name, element in stage:
                    path, parents = prefix + name, tuple(before)
                    if isinstance(element, Part):
                        after.append(add(Vertex(element, path, parents, params_from)))
                    else:
                        start = add(Vertex(Part.SUBSAGA_START, path, parents, params_from))
                        last = lay_out(element, f"{path}/", [start], before[0])
                        after.append(add(Vertex(Part.SUBSAGA_END, path, tuple(last), params_from)))
                before = after
            return before

        lay_out(self, "", [self.start], None)
        return vertices

    @property
    def named_stages(self) -> list[list[tuple[str, Element]]]:
        stages: list[list[tuple[str, Element]]] = []
        count = 0
        for stage in self.stages:
            stages.append([(f"n{count + place}", element) for place, element in enumerate(stage)])
            count += len(stage)
        return stages

    @property
    def parts(self) -> list[Part]:
        return [vertex.part for vertex in self.vertices]

    @cached_property
    def start(self) -> int:
        return _size(self)

    @property
    def end(self) -> int:
        return self.start + 1

    @cached_property
    def _parents(self) -> list[list[int]]:
        return [*(list(vertex.parents) for vertex in self.vertices), [], [self.start - 1]]

    @cached_property
    def _children(self) -> list[list[int]]:
        return [[child for child, parents in enumerate(self._parents) if node in parents] for node in self.nodes]

    @property
    def nodes(self) -> range:
        """Start and End, too."""
        return range(self.end + 1)

    def parents(self, node: int) -> list[int]:
        return self._parents[node]

    def children(self, node: int) -> list[int]:
        return self._children[node]

    def node(self, path: str) -> int:
        """The action or constant of that path."""
        (node,) = (
            node
            for node, vertex in enumerate(self.vertices)
            if vertex.path == path and vertex.part not in (Part.SUBSAGA_START, Part.SUBSAGA_END)
        )
        return node

    def maker(self, node: int) -> int:
        """The node whose output the output of this one is: for a subsaga that of its last node."""
        while self.vertices[node].part is Part.SUBSAGA_END:
            (node,) = self.parents(node)
        return node

    def dag(self) -> SagaDag:
        return self._builder(self, "").build(0)

    def _builder(self, shape: Shape, prefix: str) -> DagBuilder:
        builder = DagBuilder("lab")
        params_node = "none in the first stage"
        for stage in shape.named_stages:
            nodes: list[Appendable] = []
            for name, element in stage:
                match element:
                    case Shape():
                        inner = self._builder(element, f"{prefix}{name}/")
                        nodes.append(subsaga(name, inner, params=params_node))
                    case Part.CONSTANT:
                        nodes.append(constant(name, self.node(prefix + name)))
                    case Part.ACTION | Part.NO_UNDO:
                        action = "act" if element is Part.ACTION else "act_for_good"
                        nodes.append(Action(f"lab.{action}", _never, params=int).node(name))
                    case _:
                        raise AssertionError(element)
            builder.append_parallel(nodes)
            params_node = stage[0][0]
        return builder


Element: TypeAlias = Part | Shape


def _size(shape: Shape) -> int:
    return sum(1 if isinstance(element, Part) else 2 + _size(element) for stage in shape.stages for element in stage)


async def _never(context: ActionContext[int]) -> None:
    raise AssertionError("only its name is used")


PARTS = st.sampled_from([Part.ACTION, Part.ACTION, Part.ACTION, Part.NO_UNDO, Part.CONSTANT])


@st.composite
def shapes(draw: st.DrawFn, *, max_stages: int = 4, max_width: int = 3, max_depth: int = 2) -> Shape:
    """`max_depth` is how deep subsagas nest; the inner ones are small."""
    count = draw(st.integers(1, max_stages))
    stages: list[tuple[Element, ...]] = []
    for place in range(count):
        elements: st.SearchStrategy[Element] = PARTS
        if place and max_depth:
            elements = PARTS | PARTS | shapes(max_stages=2, max_width=2, max_depth=max_depth - 1)
        width = 1 if place == count - 1 else max_width
        stages.append(tuple(draw(st.lists(elements, min_size=1, max_size=width))))
    return Shape(tuple(stages))
