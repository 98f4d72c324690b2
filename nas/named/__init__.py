"""Networks by name: specs, reference networks, and those of timm.

A spec is a tree of layers, which everything here can walk. Any other network is known by its name
only (`TimmNetwork`): it is built by timm where it is run, and is counted, measured and trained as
a whole.
"""

from nas.named.networks import AnyNetwork, network_from_yaml, open_network
from nas.named.timm_network import (
    TimmNetwork,
    classifier_layers,
    is_timm,
    open_timm,
    timm_module,
)
from nas.spec import TIMM

__all__ = [
    "TIMM",
    "AnyNetwork",
    "TimmNetwork",
    "classifier_layers",
    "is_timm",
    "network_from_yaml",
    "open_network",
    "open_timm",
    "timm_module",
]
