"""Graphs of what depends on what, and how graphviz draws them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Any

from kombu.utils.encoding import bytes_to_str, safe_str

__all__ = ("CycleError", "DependencyGraph", "GraphFormatter")


class GraphFormatter:
    """Writes nodes and edges in the language of graphviz.

    Args:
        root: the node to draw in another color.
        type: ``digraph`` or ``graph``.
        id: the graph's name.
        indent: levels of indentation.
        inw: one level.
        scheme: attributes of all nodes and edges.
    """

    scheme: Any = MappingProxyType({"shape": "box", "arrowhead": "vee", "style": "filled", "fontname": "HelveticaNeue"})
    edge_scheme: Any = MappingProxyType({"color": "darkseagreen4", "arrowcolor": "black", "arrowsize": 0.7})
    node_scheme: Any = MappingProxyType({"fillcolor": "palegreen3", "color": "palegreen4"})
    term_scheme: Any = MappingProxyType({"fillcolor": "palegreen1", "color": "palegreen2"})
    graph_scheme: Any = MappingProxyType({"bgcolor": "mintcream"})

    def __init__(
        self,
        root: Any = None,
        type: str | None = None,
        id: str | None = None,
        indent: int = 0,
        inw: str = " " * 4,
        **scheme: Any,
    ) -> None:
        self.id = id or "dependencies"
        self.root = root
        self.type = type or "digraph"
        self.direction = "->" if self.type == "digraph" else "--"
        self.IN, self.INp = inw * indent, inw * (indent + 1)
        self.scheme = {**self.scheme, **scheme}
        self.graph_scheme = {**self.graph_scheme, "root": self.label(root)}

    def attr(self, name: str, value: Any) -> str:
        """One attribute."""
        return f'{name}="{value}"'

    def attrs(self, d: Any, scheme: Any = None) -> str:
        """Attributes over those of a scheme."""
        return ", ".join(
            self.attr(name, value) for name, value in {**self.scheme, **(scheme or {}), **(d or {})}.items()
        )

    def head(self, **attrs: Any) -> str:
        """The beginning."""
        return f"{self.IN}{self.type} {self.id} {{\n{self.INp}graph [{self.attrs(attrs, self.graph_scheme)}]"

    def tail(self) -> str:
        """The end."""
        return f"{self.IN}}}"

    def label(self, obj: Any) -> Any:
        """What is written at a node."""
        return obj

    def node(self, obj: Any, **attrs: Any) -> str:
        """A node that depends on others."""
        return self.draw_node(obj, self.node_scheme, attrs)

    def terminal_node(self, obj: Any, **attrs: Any) -> str:
        """A node that depends on none."""
        return self.draw_node(obj, self.term_scheme, attrs)

    def edge(self, a: Any, b: Any, **attrs: Any) -> str:
        """`a` depends on `b`."""
        return self.draw_edge(a, b, self.edge_scheme, attrs)

    def draw_node(self, obj: Any, scheme: Any = None, attrs: Any = None) -> str:
        """A node with these attributes."""
        return f'{self.INp}"{_quoted(self.label(obj))}" [{self.attrs(attrs, scheme)}]'

    def draw_edge(self, a: Any, b: Any, scheme: Any = None, attrs: Any = None) -> str:
        """An edge with these attributes."""
        ends = _quoted(self.label(a)), _quoted(self.label(b))
        return f'{self.INp}"{ends[0]}" {self.direction} "{ends[1]}" [{self.attrs(attrs, scheme)}]'


def _quoted(label: Any) -> str:
    return str(safe_str(label)).replace('"', '\\"')


class DependencyGraph:
    """Each object with those that it depends on.

    Args:
        it: pairs of an object and its dependencies, or such a graph.
        formatter: for :meth:`to_dot`.
    """

    def __init__(self, it: Any = None, formatter: Any = None) -> None:
        self.formatter = formatter or GraphFormatter()
        self.adjacent: dict[Any, list[Any]] = {}
        if it is not None:
            self.update(it)

    def add_arc(self, obj: Any) -> None:
        """Add an object."""
        self.adjacent.setdefault(obj, [])

    def add_edge(self, A: Any, B: Any) -> None:
        """Let `A` depend on `B`."""
        self[A].append(B)

    def connect(self, graph: DependencyGraph) -> None:
        """Add another graph."""
        self.adjacent.update(graph.adjacent)

    def topsort(self) -> list[Any]:
        """All objects, each after those that it depends on.

        Raises:
            CycleError: two depend on each other.
            KeyError: a dependency isn't in the graph.
        """
        for dependencies in self.adjacent.values():
            for each in dependencies:
                self.adjacent[each]
        return list(TopologicalSorter(self.adjacent).static_order())

    def valency_of(self, obj: Any) -> int:
        """How many edges there are below `obj`."""
        if obj not in self.adjacent:
            return 0
        return len(self[obj]) + sum(self.valency_of(each) for each in self[obj])

    def update(self, it: Any) -> None:
        """Add pairs of an object and its dependencies."""
        pairs = list(it.items() if hasattr(it, "items") else it)
        for obj, _ in pairs:
            self.add_arc(obj)
        for obj, dependencies in pairs:
            for each in dependencies:
                self.add_edge(obj, each)

    def edges(self) -> list[Any]:
        """The objects that depend on others."""
        return [obj for obj, dependencies in self.items() if dependencies]

    def to_dot(self, fh: Any, formatter: Any = None) -> None:
        """Write the graph to a file for graphviz."""
        seen: set[str] = set()
        draw = formatter or self.formatter

        def write(line: Any) -> None:
            fh.write(f"{bytes_to_str(line)}\n")

        def once(line: str) -> None:
            if line not in seen:
                seen.add(line)
                write(line)

        write(draw.head())
        for obj, dependencies in self.items():
            if not dependencies:
                once(draw.terminal_node(obj))
            for each in dependencies:
                once(draw.node(obj))
                once(draw.edge(obj, each))
        write(draw.tail())

    def format(self, obj: Any) -> Any:
        """`obj` as the formatter shows it."""
        formatter: Any = self.formatter
        return formatter(obj) if formatter else obj

    def __iter__(self) -> Iterator[Any]:
        return iter(self.adjacent)

    def __getitem__(self, node: Any) -> list[Any]:
        return self.adjacent[node]

    def __len__(self) -> int:
        return len(self.adjacent)

    def __contains__(self, obj: object) -> bool:
        return obj in self.adjacent

    def items(self) -> Iterable[tuple[Any, list[Any]]]:
        """Each object with its dependencies."""
        return self.adjacent.items()

    iteritems = _iterate_items = items

    def __repr__(self) -> str:
        return "\n".join(self.repr_node(node) for node in self)

    def repr_node(self, obj: Any, level: int = 1, fmt: str = "{0}({1})") -> str:
        """`obj` and what is below it, a line each."""
        lines = [fmt.format(obj, self.valency_of(obj))]
        for other in self.adjacent.get(obj, ()):
            lines.append("     " * level + fmt.format(other, self.valency_of(other)))
            lines += self.repr_node(other, level + 1, fmt).split("\n")[1:]
        return "\n".join(lines)
