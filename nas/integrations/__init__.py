"""Networks in the manner of other libraries.

- `pretrained`: folders in the layout of the Hugging Face hub.
- `timm_models`: networks as models and backbones of timm.
"""

from nas.integrations.pretrained import from_pretrained, read_card, save_pretrained

__all__ = ["from_pretrained", "read_card", "save_pretrained"]
