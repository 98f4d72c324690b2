"""The settings of a comparison of networks, and the list of networks that comes with the package.

This module imports no torch, so that help texts can show the list.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from nas.document import document_name, read_document, require_keys, validate
from nas.errors import MixnasError
from nas.files import write_atomic
from nas.named import is_timm
from nas.spec import load_network
from nas.train.settings import SharedSettings, TrainingSettings

ZOO_FILE = "zoo.yaml"
ZOO = (
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v4_conv_small",
    "mnasnet_a1",
    "proxylessnas_mobile",
    "fbnet_c",
    "single_path_nas",
    "scarlet_a",
    "mixnet_s",
    "mixnet_m",
    "efficientnet_b0",
    "efficientnet_v2_b0",
    "ghostnet_100",
    "shufflenet_v2_x1_0",
    "regnet_y_400mf",
    "resnet_18",
    "resnet_50",
    "mxresnet_50",
    "res2net_50_26w_4s",
)
"""Reference networks of the common families, up to the size of ResNet-50."""


@dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class ZooSettings(SharedSettings):
    """The settings of a comparison, saved as ``zoo.yaml`` in its folder.

    Attributes:
        networks: Paths of specs, names of reference networks, or ``timm:NAME``.
    """

    networks: Annotated[tuple[str, ...], Field(min_length=1)]

    def trainings(self) -> dict[str, TrainingSettings]:
        """Return the settings of each network's training, by the network's name in the table.

        A spec is called by its file; of several files of one name, the later ones get a number.
        """
        shared = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(SharedSettings)
        }
        found: dict[str, TrainingSettings] = {}
        for network in self.networks:
            name = stem = network if is_timm(network) else document_name(network)
            number = 1
            while name in found:
                number += 1
                name = f"{stem}_{number}"
            found[name] = TrainingSettings(network=network, **shared)
        return found

    def save(self, folder: Path) -> None:
        """Write the settings to the folder of the comparison."""
        text = yaml.safe_dump(dataclasses.asdict(self) | {"networks": list(self.networks)})
        write_atomic(folder / ZOO_FILE, text)


def check_networks(networks: Sequence[str]) -> None:
    """Check that networks exist, before the first of them is trained for hours.

    Those of timm are not built for that.

    Raises:
        MixnasError: If a network is named twice, or there is none of a name.
    """
    for number, network in enumerate(networks):
        if network in networks[:number]:
            raise MixnasError(f"{network} is named twice; name every network once")
        if not is_timm(network):
            load_network(network)


def is_zoo(folder: Path) -> bool:
    """Tell whether a folder is that of a comparison of networks."""
    return (folder / ZOO_FILE).is_file()


def read_zoo_settings(folder: Path) -> ZooSettings:
    """Read the settings of the comparison in a folder.

    Raises:
        DocumentError: If they are missing or invalid.
    """
    document = read_document(folder / ZOO_FILE)
    settings: ZooSettings = validate(ZooSettings, document)
    require_keys(document, ("networks", "data", "recipe"))
    return settings
