"""TensorFlow Lite models to test with: one that is harmless, and ways to make it hostile."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from nas.formats.tflite.graph import IDENTIFIER, Graph


def negation(shape=(1, 8, 8, 3), name="images"):
    """Return a model that negates its input."""
    graph = Graph()
    images, out = graph.tensor(name, shape), graph.tensor("out", shape)
    graph.add("NEG", [images], [out])
    return graph.model(images, out, "small", {})


def greedy():
    """Return a model that needs 40 GB."""
    graph = Graph()
    images, wide = graph.tensor("images", (1, 8, 8, 3)), graph.tensor("wide", (10_000, 1000, 1000))
    single, out = graph.tensor("single", (1,)), graph.tensor("out", (10_000, 1000, 1000))
    graph.add("RESHAPE", [images, graph.constant("flat", np.array([-1]))], [single])
    graph.add(
        "BROADCAST_TO", [single, graph.constant("to", np.array([10_000, 1000, 1000]))], [wide]
    )
    graph.add("NEG", [wide], [out])
    return graph.model(images, out, "greedy", {})


def changed(change, model=None):
    """Return a model after a function has changed its tables."""
    tables = schema.ModelT.InitFromPackedBuf(model or negation(), 0)
    change(tables)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(tables.Pack(builder), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def endless():
    """Return a model with a loop that has no end."""

    def add_loop(tables):
        condition, body = schema.SubGraphT(), schema.SubGraphT()
        true = np.frombuffer(b"\1", dtype=np.uint8)
        tables.buffers.append(schema.BufferT())
        tables.buffers[-1].data = true
        for graph, outputs in ((condition, [1]), (body, [0])):
            graph.tensors = [tensor("x", (1, 8, 8, 3))]
            graph.inputs, graph.outputs, graph.operators = [0], outputs, []
        yes = tensor("yes", (1,))
        yes.type, yes.buffer = schema.TensorType.BOOL, len(tables.buffers) - 1
        condition.tensors.append(yes)
        tables.subgraphs += [condition, body]
        code = tables.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.WHILE
        operator = tables.subgraphs[0].operators[0]
        operator.builtinOptionsType = schema.BuiltinOptions.WhileOptions
        operator.builtinOptions = schema.WhileOptionsT()
        operator.builtinOptions.condSubgraphIndex = 1
        operator.builtinOptions.bodySubgraphIndex = 2

    return changed(add_loop)


def tensor(name, shape):
    made = schema.TensorT()
    made.name, made.shape, made.buffer = name.encode(), list(shape), 0
    made.type = schema.TensorType.FLOAT32
    return made


def with_own_operator(tables):
    code = tables.operatorCodes[0]
    code.customCode = b"OpenFile"
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM


def with_unnamed_operator(tables):
    code = tables.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM


def with_old_operator_field(tables):
    tables.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM


def with_delegate(tables):
    code = tables.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DELEGATE


def with_call(tables):
    tables.operatorCodes[0].builtinCode = schema.BuiltinOperator.STABLEHLO_CUSTOM_CALL


def with_buffer_behind_the_model(tables):
    tables.buffers[0].offset, tables.buffers[0].size = 4096, 16


def with_external_buffer(tables):
    tables.subgraphs[0].tensors[0].externalBuffer = 1


def with_list_of_files(tables):
    group = schema.ExternalBufferGroupT()
    group.name = b"/etc/passwd"
    tables.externalBufferGroups = [group]


def with_options_behind_the_model(tables):
    tables.subgraphs[0].operators[0].largeCustomOptionsOffset = 4096
