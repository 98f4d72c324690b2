"""Layer trees as plain data, to compare them: the nodes themselves compare by identity."""

import dataclasses


def plain(node):
    """Return a layer tree as nested tuples, equal exactly if the trees are."""
    return (type(node).__name__, *(_value(getattr(node, f.name)) for f in dataclasses.fields(node)))


def _value(value):
    if isinstance(value, tuple):
        return tuple(map(_value, value))
    return plain(value) if dataclasses.is_dataclass(value) else value
