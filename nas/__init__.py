"""mixnas: neural architecture search over the MixConv design space, for a device and a data set.

Importing this package imports nothing else: describing and counting networks must stay instant.
"""

__version__ = "0.1.0"
