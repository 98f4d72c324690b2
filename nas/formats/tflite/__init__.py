"""Layer trees as TensorFlow Lite models, for LiteRT.

The flatbuffer is written from the tree with the schema that LiteRT ships, without a converter and
without TensorFlow.
"""

from nas.formats.tflite.network import to_tflite

__all__ = ["to_tflite"]
