"""Makes the machine code of `core.deid.native_source`: `python -m core.deid.native_build` keeps and writes it.

For any processor of this kind, so that a copied installation works; nothing in it leads back into the interpreter."""

import inspect
import re
import sys
from typing import Any, Final

import numba
from llvmlite import binding
from numba import carray, types
from numba.extending import register_jitable

from core.deid import native, native_source
from core.deid.native_source import WINDOW, Int

_OUTSIDE: Final = re.compile(r"^declare .*?@(?!llvm\.)([\w.$]+)\(.*$", re.MULTILINE)
_ANY: Final = 1 << 16  # entries of a table for any 16 bits
_Pointer = Any
_number = types.int64
_bytes, _words, _numbers = types.CPointer(types.uint8), types.CPointer(types.uint16), types.CPointer(types.int64)
_flags = types.CPointer(types.boolean)


# Each takes pointers and the numbers that make arrays of them.


def jpeg_walk(
    data: _Pointer,
    size: int,
    length: int,
    masked: _Pointer,
    mcus: int,
    blocks: _Pointer,
    each: int,
    dc: _Pointer,
    ac: _Pointer,
    steps: _Pointer,
    black: _Pointer,
    codes: _Pointer,
    ends: _Pointer,
    predictions: _Pointer,
    components: int,
    out: _Pointer,
    room: int,
) -> Int:
    return native_source.walk(
        carray(data, size), length, carray(masked, mcus), carray(blocks, each), carray(dc, (components, _ANY)),
        carray(ac, (components, _ANY)), carray(steps, (components, 1 << WINDOW)), carray(black, components),
        carray(codes, (components, 12, 2)), carray(ends, (components, 2)), carray(predictions, (2, components)),
        carray(out, room),
    )  # fmt: skip


def jpeg_join(table: _Pointer, steps: _Pointer) -> Int:
    return native_source.join(carray(table, _ANY), carray(steps, 1 << WINDOW))


def jpeg_count(differences: _Pointer, number: int, sizes: _Pointer, counts: _Pointer) -> Int:
    return native_source.count(carray(differences, number), carray(sizes, _ANY), carray(counts, 17))


def jpeg_pack(differences: _Pointer, number: int, coded: _Pointer, out: _Pointer, room: int) -> Int:
    return native_source.pack(carray(differences, number), carray(coded, _ANY), carray(out, room))


_FUNCTIONS: Final[dict[Any, tuple[Any, ...]]] = {
    jpeg_walk: (
        _bytes, _number, _number, _flags, _number, _numbers, _number, _words, _words, _words, _numbers, _numbers, _numbers,
        _numbers, _number, _bytes, _number,
    ),
    jpeg_join: (_words, _words),
    jpeg_count: (_words, _number, _bytes, _numbers),
    jpeg_pack: (_words, _number, _numbers, _bytes, _number),
}  # fmt: skip


def object_code() -> bytes:
    """One object file with all of them under their own names."""
    numba.config.CPU_NAME, numba.config.CPU_FEATURES = "generic", ""
    for _, function in inspect.getmembers(native_source, inspect.isfunction):
        register_jitable(function)
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    whole = binding.parse_assembly("")
    for function, arguments in _FUNCTIONS.items():
        made = numba.cfunc(_number(*arguments), error_model="numpy")(function)
        text = made.inspect_llvm().replace(made.native_name, function.__name__)
        whole.link_in(binding.parse_assembly(_alone(text)))
    machine = binding.Target.from_default_triple().create_target_machine(opt=3, reloc="pic", jit=True)
    code: bytes = machine.emit_object(whole)
    return code


def _alone(text: str) -> str:
    """The code with whatever would call the interpreter, for errors that cannot be, made an end of the process."""
    names = set(_OUTSIDE.findall(text))
    text = _OUTSIDE.sub("", text)
    for name in names:
        text = re.sub(rf"@{re.escape(name)}\b", "@abort", text)
    text = re.sub(r"^(@\w+ = )external (global i8)$", r"\1internal \2 0", text, flags=re.MULTILINE)
    return text + "\ndeclare void @abort()\n"


if __name__ == "__main__":
    made = object_code()
    native.keep(made)  # here, so that it is there next time even where who asked for it has not waited
    sys.stdout.buffer.write(made)
