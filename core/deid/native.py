"""Calls the functions of `core.deid.native_source` as machine code, which numba makes once and which is loaded without it.

Numba takes a second and 90 MB to come up, LLVM alone a tenth of a second. `prepare` belongs before the sandbox gives up its
rights; making the code takes about five seconds, once for each version of its source."""

import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_HERE: Final = Path(__file__).parent
_BUILD: Final = [sys.executable, "-m", "core.deid.native_build"]
_BUILD_SECONDS: Final = 120.0


def kept_at() -> Path:
    """Where the machine code of this very source, compiler and kind of machine is kept: beside what Python compiles."""
    made_of = [(_HERE / f"native_{name}.py").read_bytes() for name in ("source", "build")]
    made_of += [version(name).encode() for name in ("numba", "llvmlite")]
    made_of += [sys.platform.encode(), platform.machine().encode()]
    return _HERE / "__pycache__" / f"native-{sha256(b'|'.join(made_of)).hexdigest()[:16]}.o"


def keep(code: bytes) -> None:
    """Put it there, where this folder may be written."""
    path = kept_at()
    part = path.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        path.parent.mkdir(exist_ok=True)
        part.write_bytes(code)
        part.replace(path)


def machine_code() -> bytes:
    """The kept one, or one that a process of its own makes now."""
    path = kept_at()
    if path.is_file():
        return path.read_bytes()
    root = _HERE.parent.parent
    done = subprocess.run(_BUILD, cwd=root, stdout=subprocess.PIPE, timeout=_BUILD_SECONDS, check=True)
    keep(done.stdout)
    return done.stdout


@cache
def _engine() -> Any:  # noqa: ANN401 - llvmlite has no types
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine(jit=True)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(machine_code()))
    engine.finalize_object()
    return engine


@cache
def _function(name: str, arguments: int) -> Callable[..., int]:
    address = _engine().get_function_address(name)
    if not address:
        raise LookupError(name)
    return ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * arguments)(address)


def prepare() -> None:
    """Have the code in memory: nothing is read or made after this."""
    _engine()


def call(name: str, *arguments: NDArray[Any] | int) -> int:
    """One function of `core.deid.native_build`, without the interpreter's lock.

    Arrays go as pointers: they must be in C order, of its types, and as long as the numbers beside them say."""
    numbers = [one.ctypes.data if isinstance(one, np.ndarray) else one for one in arguments]
    return _function(name, len(numbers))(*numbers)
