"""Networks as Python files for other libraries.

- `text`: calls and literals as text.
- `classes`: the classes of layers.
- `layers`: single layers as calls.
- `pytorch`: files that need torch only.
- `timm`: files by which timm builds a network.
"""
