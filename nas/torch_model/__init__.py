"""The layer tree as torch modules, and weights from other layouts."""

from nas.torch_model.network import *  # noqa: F403
