import numpy as np
import pytest

from nas.formats.tflite.operators import FUSED, TfliteGraph

pytest.importorskip("ai_edge_litert.interpreter")


@pytest.fixture
def graph():
    return TfliteGraph({}, batch=2)


@pytest.fixture
def maps(graph):
    return graph.maps("maps", (6, 4, 5))


def names(graph):
    codes = list(graph.codes)
    return [codes[operator.opcodeIndex] for operator in graph.operators]


def value(graph, tensor):
    return graph.buffers[graph.tensors[tensor].buffer].data.view(np.int32).tolist()


def test_feature_maps_are_channels_last(graph, maps):
    assert graph.shape(maps) == (2, 4, 5, 6)


def test_shapes_of_pairs_are_those_of_numpy(graph, maps):
    gate = graph.maps("gate", (6, 1, 1))
    assert graph.shape(graph.binary("MUL", gate, maps, "y")) == (2, 4, 5, 6)
    assert graph.shape(graph.unary("RELU", gate, "z")) == (2, 1, 1, 6)


@pytest.mark.parametrize("function", FUSED)
def test_an_activation_function_is_an_option(graph, maps, function):
    graph.binary("ADD", maps, maps, "y", function)
    expected = getattr(graph.schema.ActivationFunctionType, function.upper())
    assert graph.operators[0].builtinOptions.fusedActivationFunction == expected
    assert graph.fused("") == {}


def test_slices_are_one_operator_if_even_and_few(graph, maps):
    assert graph.split(maps, [6], "one") == [maps]
    assert names(graph) == []
    assert [graph.shape(x) for x in graph.split(maps, [3, 3], "even")] == [(2, 4, 5, 3)] * 2
    parts = graph.split(maps, [1, 5], "uneven")
    assert [graph.shape(x) for x in parts] == [(2, 4, 5, 1), (2, 4, 5, 5)]
    assert names(graph) == ["SPLIT", "SLICE", "SLICE"]
    _, begin, size = graph.operators[-1].inputs
    assert value(graph, begin) == [0, 0, 0, 1]
    assert value(graph, size) == [2, 4, 5, 5]


def test_features_of_linear_layers_are_cut_and_joined_along_their_only_axis(graph):
    features = graph.tensor("features", (2, 6))
    parts = graph.split(features, [2, 4], "slices")
    assert [graph.shape(x) for x in parts] == [(2, 2), (2, 4)]
    assert graph.shape(graph.join(parts, -1, "joined")) == (2, 6)
    assert graph.operators[-1].builtinOptions.axis == 1


def test_one_tensor_is_joined_already(graph, maps):
    assert graph.join([maps], 1, "y") == maps
    assert graph.shape(graph.join([maps, maps], 1, "y")) == (2, 8, 5, 6)


def test_padding_transposing_reshaping_and_averaging_tell_the_shape(graph, maps):
    assert graph.shape(graph.pad(maps, (1, 2, 3, 4), "padded")) == (2, 8, 11, 6)
    assert graph.shape(graph.transpose(maps, (0, 3, 1, 2), "transposed")) == (2, 6, 4, 5)
    assert graph.shape(graph.reshape(maps, (40, 6), "reshaped")) == (40, 6)
    assert graph.shape(graph.mean(maps, (1, 2), "mean")) == (2, 1, 1, 6)
    assert names(graph) == ["PAD", "TRANSPOSE", "RESHAPE", "MEAN"]
