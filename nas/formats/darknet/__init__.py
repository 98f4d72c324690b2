"""Layer trees as darknet's .cfg and .weights files.

- `sections`: the sections of a .cfg file, and the weights that belong to them.
- `writer`: the layers of a tree as sections.
"""

from nas.formats.darknet.sections import DarknetModel
from nas.formats.darknet.writer import to_darknet

__all__ = ["DarknetModel", "to_darknet"]
