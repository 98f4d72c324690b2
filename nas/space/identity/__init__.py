"""Which genotypes are the same network: what every variable contributes, and membership."""

from nas.space.identity.effects import Effects
from nas.space.identity.membership import genotype_of

__all__ = ["Effects", "genotype_of"]
