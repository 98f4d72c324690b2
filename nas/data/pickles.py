"""Pickles of arrays and plain values, read without running the program that a pickle is.

A pickle consists of instructions for a machine that may call any function, or allocate any amount
of memory. `pickletools` takes it apart; here, only the instructions that arrays of numbers and
plain values consist of are carried out, on plain Python values.
"""

from __future__ import annotations

import math
import pickletools
import re
from pickle import UnpicklingError
from typing import Any, NamedTuple

import numpy as np

_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_BYTES_OF_PYTHON_2 = {"BINSTRING", "SHORT_BINSTRING"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = {"PUT", "BINPUT", "LONG_BINPUT"}
_GETS = {"GET", "BINGET", "LONG_BINGET"}
_WITHOUT_EFFECT = {"PROTO", "FRAME", "STOP"}
_NUMBER = re.compile("[biuf][1248]")
_KEYS = (bytes, str, int)
# Each instruction takes about a hundred bytes of memory; images have one in some hundred bytes.
_FREE_INSTRUCTIONS = 100_000
_BYTES_PER_INSTRUCTION = 64


class _PickledName(NamedTuple):
    """What a pickle names by a module and a name in it; it is never imported."""

    module: str
    name: str


class _PickledType:
    """A numpy type in the making."""

    def __init__(self, name: str) -> None:
        self.dtype = np.dtype(name)

    def set_state(self, state: Any) -> None:
        order: Any = _text(state[1])
        self.dtype = self.dtype.newbyteorder(order)


class _PickledArray:
    """An array in the making."""

    value: np.ndarray

    def set_state(self, state: Any) -> None:
        _, shape, kind, is_fortran, raw = state
        if type(raw) is not bytes or not isinstance(kind, _PickledType):
            raise UnpicklingError("it has an array without bytes")
        if not all(type(side) is int and 0 <= side <= len(raw) for side in shape):
            raise UnpicklingError(f"it has an array with a side that {len(raw)} bytes cannot have")
        if math.prod(shape) * kind.dtype.itemsize != len(raw):
            raise UnpicklingError(f"it has an array of shape {shape} in {len(raw)} bytes")
        order: Any = "F" if is_fortran else "C"
        self.value = np.ndarray(shape, kind.dtype, buffer=raw, order=order)


def plain_content(raw: bytes) -> dict[Any, Any]:
    """Return the dictionary of arrays of numbers and plain values in a pickle.

    Args:
        raw: The pickle, of any protocol from 1 to 4; texts of Python 2 are returned as bytes.

    Raises:
        UnpicklingError: If it contains anything else, which could run code.
        Exception: Of many kinds, if it is damaged.
    """
    machine = _PickleMachine(len(raw))
    most = _FREE_INSTRUCTIONS + len(raw) // _BYTES_PER_INSTRUCTION
    for number, (instruction, argument, _) in enumerate(pickletools.genops(raw)):
        if number > most:
            raise UnpicklingError(f"it has more than {most} instructions for {len(raw)} bytes")
        machine.do(instruction.name, argument)
    content = machine.stack.pop()
    if type(content) is not dict:
        raise UnpicklingError("it does not contain a dictionary")
    return {
        key: value.value if isinstance(value, _PickledArray) else value
        for key, value in content.items()
    }


class _PickleMachine:
    """Carries out the instructions that arrays and plain values consist of."""

    def __init__(self, most: int) -> None:
        """Begin with nothing on the stack.

        Args:
            most: Bytes that may be made of text: those of the file.
        """
        self.stack: list[Any] = []
        self._made, self._most = 0, most
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def do(self, name: str, argument: Any) -> None:
        """Carry out an instruction, given by the name that `pickletools` has for it."""
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
        elif name in _BYTES_OF_PYTHON_2:
            stack.append(argument.encode("latin-1"))
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _PUTS:
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in _GETS:
            stack.append(self._memo[argument])
        elif name == "MARK":
            self._marks.append(len(stack))
        elif name in _TUPLES:
            stack.append(tuple(self._taken(len(stack) - _TUPLES[name])))
        elif name not in _WITHOUT_EFFECT:
            self._do_rarely(name, argument)

    def _do_rarely(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "TUPLE":
            stack.append(tuple(self._marked()))
        elif name in ("APPEND", "APPENDS"):
            values = self._marked() if name == "APPENDS" else [stack.pop()]
            list.extend(stack[-1], values)  # refuses what is no list
        elif name in ("SETITEM", "SETITEMS"):
            values = self._marked() if name == "SETITEMS" else self._taken(len(stack) - 2)
            self._set_items(values)
        elif name == "GLOBAL":
            stack.append(_allowed(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            stack.append(_allowed(*self._taken(len(stack) - 2)))
        elif name == "REDUCE":
            function, arguments = self._taken(len(stack) - 2)
            made = _called(function, arguments)
            # Text that stands in the file once could be turned into bytes any number of times.
            self._made += len(made) if isinstance(made, bytes) else 0
            if self._made > self._most:
                raise UnpicklingError("it makes more bytes than it has")
            stack.append(made)
        elif name == "BUILD":
            state = stack.pop()
            stack[-1].set_state(state)
        else:
            raise UnpicklingError(f"it has the instruction {name}, which arrays do not need")

    def _set_items(self, values: list[Any]) -> None:
        for key, value in zip(values[::2], values[1::2], strict=True):
            if not isinstance(key, _KEYS):
                raise UnpicklingError("it has a key that is neither text nor a number")
            dict.__setitem__(self.stack[-1], key, value)

    def _marked(self) -> list[Any]:
        """Take everything above the latest mark off the stack."""
        return self._taken(self._marks.pop())

    def _taken(self, begin: int) -> list[Any]:
        if not 0 <= begin <= len(self.stack):
            raise UnpicklingError("it takes more values than there are")
        taken = self.stack[begin:]
        del self.stack[begin:]
        return taken


_BYTES = _PickledName("_codecs", "encode")
_NO_BYTES = _PickledName("__builtin__", "bytes")
_RECONSTRUCT = _PickledName("numpy.core.multiarray", "_reconstruct")
_NDARRAY = _PickledName("numpy", "ndarray")
_DTYPE = _PickledName("numpy", "dtype")


def _allowed(module: str, name: str) -> _PickledName:
    found = _PickledName(module.replace("numpy._core", "numpy.core"), name)
    if found not in (_BYTES, _NO_BYTES, _RECONSTRUCT, _NDARRAY, _DTYPE):
        raise UnpicklingError(
            f"it needs {module}.{name}, but only arrays of numbers and plain values are allowed"
        )
    return found


def _called(function: Any, arguments: Any) -> Any:
    """Return what a pickle asks a function for."""
    if function == _BYTES and arguments[1:] == ("latin1",):
        return arguments[0].encode("latin-1")
    if function == _NO_BYTES and arguments == ():
        return b""
    if function == _RECONSTRUCT:
        return _PickledArray()
    if function == _DTYPE:
        name = _text(arguments[0])
        if not _NUMBER.fullmatch(name):
            raise UnpicklingError(
                f"it has an array of type '{name}', but only arrays of numbers and plain values "
                "are allowed"
            )
        return _PickledType(name)
    raise UnpicklingError("it calls what is no function of arrays")


def _text(value: Any) -> str:
    if not isinstance(value, str | bytes):
        raise UnpicklingError("it has a type without a name")
    return value.decode("ascii") if isinstance(value, bytes) else value
