"""The search-space DSL, which compiles a YAML document to a `Space`."""

from nas.space.encoding import encode, feature_names
from nas.space.loader import space_names
from nas.space.sampling import Sample, sample, sample_many
from nas.space.size import size
from nas.space.space import Space, load_space, space_from_document, space_from_yaml
from nas.space.variables import INACTIVE, Genotype, Variable

__all__ = [
    "INACTIVE",
    "Genotype",
    "Sample",
    "Space",
    "Variable",
    "encode",
    "feature_names",
    "load_space",
    "sample",
    "sample_many",
    "size",
    "space_from_document",
    "space_from_yaml",
    "space_names",
]
