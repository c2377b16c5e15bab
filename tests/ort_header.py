"""What the C++ runner needs of ONNX Runtime's C header, which no package index carries: the wheel has the library alone.

The functions of its table stand in one order for good (ABI of OrtApi); a device maker compiles against the real header."""

import importlib.util
from pathlib import Path
from typing import Final

VERSION: Final = 14  # of the table that is asked for; each later library has it
_STATUS: Final = {
    3: ("CreateEnv", "int, const char *, OrtEnv **"),
    7: ("CreateSession", "const OrtEnv *, const char *, const OrtSessionOptions *, OrtSession **"),
    9: ("Run", "OrtSession *, const void *, const char *const *, const OrtValue *const *, size_t, const char *const *, size_t, "
               "OrtValue **"),
    10: ("CreateSessionOptions", "OrtSessionOptions **"),
    24: ("SetIntraOpNumThreads", "OrtSessionOptions *, int"),
    49: ("CreateTensorWithDataAsOrtValue", "const OrtMemoryInfo *, void *, size_t, const int64_t *, size_t, int, OrtValue **"),
    51: ("GetTensorMutableData", "OrtValue *, void **"),
    62: ("GetDimensions", "const OrtTensorTypeAndShapeInfo *, int64_t *, size_t"),
    65: ("GetTensorTypeAndShape", "const OrtValue *, OrtTensorTypeAndShapeInfo **"),
    69: ("CreateCpuMemoryInfo", "int, int, OrtMemoryInfo **"),
}  # fmt: skip
_NOTHING: Final = {
    92: ("ReleaseEnv", "OrtEnv *"), 94: ("ReleaseMemoryInfo", "OrtMemoryInfo *"), 95: ("ReleaseSession", "OrtSession *"),
    96: ("ReleaseValue", "OrtValue *"), 99: ("ReleaseTensorTypeAndShapeInfo", "OrtTensorTypeAndShapeInfo *"),
    100: ("ReleaseSessionOptions", "OrtSessionOptions *"),
}  # fmt: skip
_TYPES: Final = ("Env", "Status", "MemoryInfo", "Session", "Value", "TensorTypeAndShapeInfo", "SessionOptions")


def write(folder: Path) -> None:
    """onnxruntime_c_api.h in a folder."""
    table = {2: "const char *(*GetErrorMessage)(const OrtStatus *);"}
    table |= {place: f"OrtStatus *(*{name})({takes});" for place, (name, takes) in _STATUS.items()}
    table |= {place: f"void (*{name})({takes});" for place, (name, takes) in _NOTHING.items()}
    lines = [table.get(place, f"void (*unused{place})();") for place in range(max(table) + 1)]
    text = [
        "#include <cstddef>", "#include <cstdint>", f"#define ORT_API_VERSION {VERSION}",
        *(f"struct Ort{name};" for name in _TYPES),
        "enum { ORT_LOGGING_LEVEL_WARNING = 2, OrtArenaAllocator = 1, OrtMemTypeDefault = 0, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1 };",
        "struct OrtApi {", *lines, "};",
        'struct OrtApiBase { const OrtApi *(*GetApi)(uint32_t); const char *(*GetVersionString)(); };',
        'extern "C" const OrtApiBase *OrtGetApiBase();',
    ]  # fmt: skip
    (folder / "onnxruntime_c_api.h").write_text("\n".join(text) + "\n")


def library() -> Path:
    """The shared library in the wheel of onnxruntime."""
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None and spec.origin is not None
    return next((Path(spec.origin).parent / "capi").glob("libonnxruntime.so*"))
