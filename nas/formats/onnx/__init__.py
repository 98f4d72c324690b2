"""Layer trees as ONNX models.

The graph is written from the tree instead of traced, so it has readable names and no redundant
nodes, and takes only tens of milliseconds per network.
"""

from nas.formats.onnx.graph import BATCH, OPSET
from nas.formats.onnx.network import to_onnx

__all__ = ["BATCH", "OPSET", "to_onnx"]
