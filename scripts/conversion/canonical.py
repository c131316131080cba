"""Graphs that differ only in inner names and node order -> the same bytes.

So the hash of a model says which weights it has, and the same source converted twice is the same model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import onnx


def canonicalize(model: onnx.ModelProto, *, name: str) -> None:
    """Gives graphs that differ only in inner names and node order the same bytes, in place.

    tf2onnx numbers its nodes by the order of Python sets, so two runs never agree, and it names the
    graph after the path of the source file; torch notes at each node which line of which file made it.
    Inputs and outputs of the graph keep their names. The nodes of graphs with others inside, whose names they
    share, are left as they are.
    """
    _drop_notes(model)
    graph = model.graph
    graph.name = name
    if any(_subgraphs(node) for node in graph.node):
        return
    nodes = _from_outputs(graph)
    initializers = {each.name: each for each in graph.initializer}
    names = {each.name: each.name for each in (*graph.input, *graph.output)}
    kept_names = frozenset(names)
    kept: dict[bytes, str] = {}
    for number, node in enumerate(nodes):
        node.name, node.domain = f"{node.op_type}_{number}", node.domain
        _replace(node.attribute, sorted(node.attribute, key=lambda each: each.name))
        for index, value in enumerate(node.input):
            if value in initializers:
                names[value] = _share(initializers[value], kept, kept_names)
            node.input[index] = names[value] if value else ""
        for index, value in enumerate(node.output):
            names.setdefault(value, _free(f"{node.name}_{index}", kept_names) if value else "")
            node.output[index] = names[value]
    used = {names[key]: each for key, each in initializers.items() if key in names}
    tensors = [used[value] for value in kept.values()]
    for tensor, value in zip(tensors, kept.values(), strict=True):
        tensor.name = value
    _replace(graph.initializer, tensors)
    _replace(graph.node, nodes)
    del graph.value_info[:]
    graph.doc_string, model.doc_string = "", ""


def rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    """Gives inputs, outputs and whatever else of a graph other names, in place."""
    values: list[Any] = [*graph.input, *graph.output, *graph.initializer, *graph.value_info]
    for value in values:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for field in (node.input, node.output):
            for index, name in enumerate(field):
                field[index] = names.get(name, name)
        for inner in _subgraphs(node):
            rename(inner, names)


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Gives the nodes of a graph and of the branches and bodies in it."""
    for node in graph.node:
        yield node
        for inner in _subgraphs(node):
            yield from all_nodes(inner)


def _drop_notes(model: onnx.ModelProto) -> None:
    """Takes away what exporters note of where each part came from, paths on their machine among it."""
    parts: list[Any] = [*model.functions, *(node for each in model.functions for node in each.node)]
    for graph in _all_graphs(model.graph):
        parts += [graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info]
    for part in parts:
        part.ClearField("metadata_props")
        if part.doc_string:
            part.ClearField("doc_string")


def _all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in all_nodes(graph):
        yield from _subgraphs(node)


def _subgraphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """The branches or bodies of an If, Loop or Scan, which read the names of the graph around them."""
    return [
        inner
        for attribute in node.attribute
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs)
    ]


def _from_outputs(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Gives the nodes the outputs need, each after those it reads, in an order set by the graph alone."""
    producers = {value: node for node in graph.node for value in node.output if value}
    done: set[str] = set()
    nodes = []
    stack = [output.name for output in reversed(graph.output)]
    while stack:
        node = producers.get(stack[-1])
        if node is None or node.output[0] in done:
            stack.pop()
            continue
        pending = [
            value for value in node.input if value in producers and producers[value].output[0] not in done
        ]
        if pending:
            stack.extend(reversed(pending))
        else:
            done.add(node.output[0])
            nodes.append(node)
            stack.pop()
    return nodes


def _free(name: str, taken: frozenset[str]) -> str:
    """The name, or one like it that no input or output of the graph has."""
    while name in taken:
        name += "_"
    return name


def _share(tensor: Any, kept: dict[bytes, str], taken: frozenset[str]) -> str:
    """Gives the name of the first tensor with the same content, numbered by first use."""
    content = type(tensor)()
    content.CopyFrom(tensor)
    content.ClearField("name")
    digest = hashlib.sha256(content.SerializeToString(deterministic=True)).digest()
    return kept.setdefault(digest, _free(f"constant_{len(kept)}", taken))


def _replace(field: Any, messages: list[Any]) -> None:
    """Puts copies of the messages in place of a repeated field's own."""
    copies = [type(message).FromString(message.SerializeToString()) for message in messages]
    del field[:]
    field.extend(copies)
