"""Runs in a process of its own: every file of a folder all the way through the engine, and what became of it as JSON."""

import json
import sys
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from core.deid import candidate, headers, release, verify
from core.deid.masks import Rect
from core.deid.pseudonyms import Pseudonyms
from core.dicom.facts import needles, read_identity
from core.dicom.frames import decode_stored
from core.dicom.part10 import frame_bytes, open_part10
from core.dicom.ultrasound import regions
from core.errors import Refused

PSEUDONYMS = Pseudonyms("5f7dd9c5-6f0b-4d66-a6f7-27e8a5d30001", b"k" * 32, -700, datetime(2019, 5, 6, 9, 30, 15))


def through(path: Path, out: Path) -> tuple[str, str]:
    """("released", "") with the file in `out`, or ("held" or "refused", reason) with nothing there."""
    written = out / f"{path.name}.part"
    try:
        with path.open("rb") as fp, BytesIO() as stream, written.open("wb+") as target:
            size = path.stat().st_size
            source = open_part10(fp, size)
            if source.pixel is None:
                raise Refused("The image has no pixel data.")
            found = regions(source.dataset, source.pixel.rows, source.pixel.columns)
            plan = candidate.plan(source.dataset, source.pixel, [Rect(0, 0, 40, 9)], found)
            masked = (
                plan.response(*candidate.sandboxed_mask(*plan.request(frame_bytes(fp, source, number))))
                for number in range(len(source.frames))
            )
            index = candidate.write_candidate(masked, plan, stream)
            values = needles(read_identity(source.dataset))
            header = headers.deidentify(source.dataset, PSEUDONYMS, index, needles=values)
            release.write_file(header, stream, index, target)
            verify.check_released(target, target.tell(), values, source.dataset, decode_stored)
    except Refused as refusal:
        written.unlink()
        return type(refusal).__name__.lower(), refusal.message
    written.rename(out / path.name)
    return "released", ""


def peak_bytes() -> int:
    """Peak resident bytes of this program alone: ru_maxrss would count the parent's, up to exec, as its own."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:"))


def main() -> None:
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    told: dict[str, Any] = {path.name: through(path, out) for path in sorted(folder.rglob("*.dcm"))}
    told |= {path.name: through(path, out) for path in sorted(folder.rglob("*DICOMDIR"))}
    sys.stdout.write(json.dumps({"files": told, "peak": peak_bytes()}))


if __name__ == "__main__":
    main()
