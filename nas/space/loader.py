"""Finding the document of a space by name or path, and merging it with what it extends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas.document import Document, document_name, parse_document, read_document
from nas.errors import DocumentError, unknown
from nas.files import is_built_in, packaged
from nas.space.around import around_document, is_around, run_name
from nas.space.choices import FORMS
from nas.spec import looks_like_path

SCHEMA = "mixnas.space/1"


def space_names() -> list[str]:
    """Return the names of the spaces that come with the package."""
    return sorted(path.stem for path in packaged().glob("*.yaml"))


def short_name(name: str) -> str:
    """Return a name for a space's runs and messages, given its name or path.

    It is the file's for a path, and ``around-mixnet_s`` for ``around:mixnet_s``.
    """
    return run_name(name) if is_around(name) else document_name(name)


def find_document(name: str, beside: Path | None = None) -> Document:
    """Return the document of a space, merged with the documents that it extends.

    Args:
        name: Name of a space that comes with the package, path of a YAML file, or
            ``around:NETWORK`` (see `nas.space.around`).
        beside: Folder that a relative path starts from; None for the working directory.

    Raises:
        DocumentError: If there is no such document, or it is not a mapping, or extends itself.
    """
    return _find(name, beside, ())


def _find(name: str, beside: Path | None, seen: tuple[str, ...]) -> Document:
    if is_around(name):
        made = around_document(name, beside)
        return Document(made.source, {"schema": SCHEMA, **made.data})
    folder = None
    path = (beside or Path()) / name
    built_in = is_built_in(name, space_names(), "space")
    place = name if built_in else str(path.resolve())  # the same name can mean different files
    if place in seen:
        raise DocumentError(f"space '{name}' extends itself: {' -> '.join((*seen, place))}")
    if built_in:
        text = packaged(f"{name}.yaml").read_text("utf-8")
        document = parse_document(text, f"search_spaces/{name}.yaml")
    elif looks_like_path(name) or path.is_file():
        document, folder = read_document(path), path.parent
    else:
        raise DocumentError(
            f"{unknown('space', name, space_names())}; or give the path of a YAML file, or "
            "around:NETWORK"
        )
    data = document.data
    if not isinstance(data, dict):
        document.fail((), "a space must be a mapping with the keys stem, stages, head, ...")
    schema = data.get("schema", SCHEMA)
    if schema != SCHEMA:
        document.fail(("schema",), f"unsupported schema '{schema}'; this version reads '{SCHEMA}'")
    base = data.get("base")
    if folder is not None and isinstance(base, str) and looks_like_path(base):
        data["base"] = str(folder / base)  # relative to the document, as `extends` is
    parent = data.pop("extends", None)
    if parent is None:
        return document
    return _merge(document, _find(str(parent), folder, (*seen, place)))


def _merge(child: Document, parent: Document) -> Document:
    """Return a document merged with the one it extends.

    Mappings are merged key by key, and other values are replaced. A null removes a key, and
    restrictions are added to the inherited ones. Every key keeps the file and line it comes from,
    so that messages point to the place to correct.
    """
    for document in (parent, child):
        if not isinstance(document.data.get("restrictions") or [], list):
            document.fail(("restrictions",), "must be a list of conditions")
    data = _overlay(parent.data, child.data)
    inherited = list(parent.data.get("restrictions") or [])
    own = list(child.data.get("restrictions") or [])
    lines = {**parent.lines, **child.lines}
    if inherited:
        data["restrictions"] = inherited + own
        for i in range(len(inherited)):
            lines["restrictions", i] = parent.lines.get(("restrictions", i), (parent.source, 0))
        for i in range(len(own)):
            place = child.lines.get(("restrictions", i), (child.source, 0))
            lines["restrictions", len(inherited) + i] = place
    return Document(child.source, data, lines)


def _overlay(base: Any, top: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(top, dict)) or _is_choice(base, top):
        return top
    merged = dict(base)
    for key, value in top.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _overlay(base[key], value) if key in base else value
    return merged


def _is_choice(base: dict[str, Any], top: dict[str, Any]) -> bool:
    """Return whether either mapping is a choice, which is replaced as a whole."""
    return any(form in mapping for mapping in (base, top) for form in FORMS)
