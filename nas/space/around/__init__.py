"""The space of the networks one step around a given network, ``around:NETWORK``.

It is for a network that is to become faster at the same accuracy. Its document is made from the
network's spec, as plain data such as YAML holds, and says what one step is:

- the depth of a stage, by one block (`nas.space.around.parts`);
- the width of a stage, by a quarter (`nas.space.around.widths`);
- kernels, expansion, squeeze-and-excitation and group width of blocks (`nas.space.around.steps`).

Everything else is as in the network: stem, head, resolution, padding, activation functions.
"""

from nas.space.around.document import around_document, is_around, network_of, run_name

__all__ = ["around_document", "is_around", "network_of", "run_name"]
