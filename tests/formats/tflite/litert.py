"""Networks as TensorFlow Lite models in LiteRT."""

import numpy as np
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from nas.formats.tflite import to_tflite
from nas.ir import Container, Seq
from nas.torch_model.modules import to_loaded_module
from tests.lowering.test_lowered_branches import trained_weights

ROUNDING = 2.0**-24  # the most that float32 changes a number by, relative to it


def in_litert(tree, shape, weights, images):
    """Return the outputs of a tree that is written as a model and run in LiteRT."""
    model = to_tflite(tree, shape, weights, batch=len(images))
    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert given["name"] == "images"
    assert found["name"] == "logits"
    interpreter.set_tensor(given["index"], images.transpose(0, 2, 3, 1))
    interpreter.invoke()
    outputs = interpreter.get_tensor(found["index"])
    return outputs.transpose(0, 3, 1, 2) if outputs.ndim == 4 else outputs


def error(node, shape, batch=2):
    """Return the largest difference to torch's outputs in float64, relative to the largest.

    Differences that rounding may make are left out: ten times as much as the outputs change when
    the images change by as much as float32 rounds them. A layer normalization of a pixel with two
    almost equal channels, for one, magnifies its inputs a thousand times. Where all outputs are
    below 0.1, so that large terms have cancelled each other out, the difference is relative to 0.1.

    Args:
        node: A tree, or a leaf.
        shape: Shape of an image.
        batch: Number of images.
    """
    tree = node if isinstance(node, Container) else Seq((("leaf", node),))
    weights = trained_weights(tree)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, *shape), dtype=np.float32)
    changes = np.concatenate([np.zeros((1, *images.shape)), rng.uniform(-1, 1, (8, *images.shape))])
    with torch.no_grad():
        given = torch.from_numpy(images * (1 + ROUNDING * changes)).flatten(0, 1)
        found = to_loaded_module(tree, weights).double()(given).unflatten(0, (9, batch)).numpy()
    expected, rounding = found[0], np.abs(found[1:] - found[0]).max()
    outputs = in_litert(tree, shape, weights, images)
    assert outputs.shape == expected.shape
    difference = np.abs(outputs - expected).max() - 10 * rounding
    return max(difference, 0) / max(np.abs(expected).max(), 0.1)


def operators(node, shape):
    """Return the names of a model's operators in order, and the model."""
    tree = node if isinstance(node, Container) else Seq((("leaf", node),))
    written = to_tflite(tree, shape, trained_weights(tree), "a graph", {"k": "v"})
    model = schema.ModelT.InitFromPackedBuf(written)
    (graph,) = model.subgraphs
    names = {code: name for name, code in vars(schema.BuiltinOperator).items()}
    codes = [model.operatorCodes[operator.opcodeIndex].builtinCode for operator in graph.operators]
    return [names[code] for code in codes], model


def options(model):
    """Return the options of a model's operators in order."""
    return [operator.builtinOptions for operator in model.subgraphs[0].operators]
