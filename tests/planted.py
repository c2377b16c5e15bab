"""Plants identifiers that occur nowhere else into a real file, wherever a DICOM file has room for one, and finds them again.

Each file gets about 1,500: every attribute of Table E.1-1 that pydicom knows at the top level, and every one again one
to three sequences deep, in sequences of the table and outside it in turns (the turn is the file's number, so that over
a few files each attribute has stood everywhere); and private blocks, bulk, overlays, curves, icon, file meta, preamble."""

import re
import struct
from collections.abc import Iterator
from functools import cache
from io import BytesIO

import pydicom
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence

from core.deid import profile
from core.dicom.quiet import quietly

TEXTS = {"PN": 64, "LO": 64, "SH": 16, "ST": 400, "LT": 400, "UT": 400, "UC": 400, "CS": 16, "AE": 16, "UR": 400}
# What the walk of a file stands on, and the two characteristics that the product keeps as numbers.
UNTOUCHED = frozenset({0x00080005, 0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00101010, 0x00100040,
                       0x00101020, 0x00101030})  # fmt: skip
MOVED = frozenset({0x00080012, 0x00080013, 0x00080020, 0x00080021, 0x00080022, 0x00080023, 0x0008002A, 0x00080030,
                   0x00080031, 0x00080032, 0x00080033})  # fmt: skip
IN_TABLE = (0x00400275, 0x04000561, 0x00081120, 0x00081111, 0x00321064, 0x00081140, 0x0040A730, 0x00880200)
PARTS = 5
_MARK = "ZQ{:06d}LEAKY"
_FOUND = re.compile(rb"z\0?q\0?[0-9]\0?[0-9]|\0z\0q", re.IGNORECASE)


class Planter:
    """`texts`, `uids`, `dates` and `numbers` are what was planted, `places` (tag, depth, is it in a sequence of the table)
    where the attributes of the table stood; `turn` is the number of the file."""

    def __init__(self, turn: int = 0) -> None:
        self.turn = turn
        self.texts: list[str] = []
        self.uids: list[str] = []
        self.dates: list[str] = []
        self.numbers: list[str] = []
        self.places: set[tuple[int, int, bool]] = set()

    @property
    def count(self) -> int:
        return len(self.texts) + len(self.uids) + len(self.dates) + len(self.numbers)

    def text(self, length: int = 64) -> str:
        self.texts.append(_MARK.format(len(self.texts))[:length])
        return self.texts[-1]

    def bulk(self, around: int = 32) -> bytes:
        """Bytes with a text in the middle, the same in UTF-16 and in Shift-JIS kanji behind it."""
        text = self.text()
        found = b"\x01\x80" * around + text.encode() + b"\0" + text.encode("utf-16-le") + "山田漏洩".encode("shift_jis")
        return found + b"\0" * (len(found) % 2)

    def fill(self, item: Dataset, part: int | None = None, place: tuple[int, bool] = (0, False)) -> None:
        """Every attribute of the table, or every fifth of them, from `part` on. `place`: depth, is it in the table."""
        for number, (tag, vr) in enumerate(table()):
            if (part is None or number % PARTS == part) and tag not in item:
                value = self._value(vr, tag)
                if value is not None:
                    self.places.add((tag, *place))
                    item.add(DataElement(tag, vr, value))

    def _value(self, vr: str, tag: int) -> str | bytes | Sequence | None:
        if vr in TEXTS:
            return self.text(TEXTS[vr])
        if vr == "UI":
            self.uids.append(f"1.2.826.0.1.3680043.9.{7_000_000 + len(self.uids)}")
            return self.uids[-1]
        if vr in {"DA", "DT", "TM"}:
            return self._date(vr, 2011 if tag in MOVED else 1931)
        if vr in {"DS", "IS"}:
            self.numbers.append(f"73{len(self.numbers):06d}")
            return self.numbers[-1]
        if vr in {"OB", "OW", "UN", "OB or OW"}:
            return self.bulk()
        if vr == "SQ":
            inner = Dataset()
            inner.PatientName, inner.CodeMeaning, inner.TextValue = self.text(), self.text(), self.text()
            return Sequence([inner])
        return None

    def _date(self, vr: str, first: int) -> str:
        number = len(self.dates)
        day = f"{first + number // 336:04d}{number // 28 % 12 + 1:02d}{number % 28 + 1:02d}"
        clock = f"084{number % 10}1{number % 9}.{number:06d}"
        self.dates.append({"DA": day, "DT": day + clock, "TM": clock}[vr])
        return self.dates[-1]

    def left(self, data: bytes) -> list[str]:
        """What of it is still in these bytes; marks are looked for in one byte and in two byte letters."""
        marks = {data[found.start() : found.start() + 32].hex() for found in _FOUND.finditer(data)}
        uids = set(re.findall(rb"1\.2\.826\.0\.1\.3680043\.9\.[0-9]+", data))
        plain = [one for one in self.uids if one.encode() in uids]
        numbers = set(re.findall(rb"[0-9][0-9.]{5,}", data))
        numbers |= {one[:8] for one in numbers} | {one.partition(b".")[0] for one in numbers}
        plain += [one for one in (*self.dates, *self.numbers) if one.encode() in numbers]
        plain += ["kanji"] if "漏洩".encode("shift_jis") in data or "漏洩".encode() in data else []
        return [*marks, *plain]


@cache
def table() -> tuple[tuple[int, str], ...]:
    """(tag, VR) of every attribute of Table E.1-1 that pydicom knows and that belongs into a data set."""
    return tuple(_known())


def _known() -> Iterator[tuple[int, str]]:
    for row in profile.annex_e():
        if "[" in row.pattern or row.pattern.startswith(("0000", "0002", "0004", "7FE0")):
            continue
        tag = int(row.pattern, 16)
        if tag in UNTOUCHED or tag >> 16 in {0x5000, 0x6000}:
            continue
        try:
            yield tag, dictionary_VR(tag)
        except KeyError:
            continue


def planted(ds: Dataset, turn: int) -> tuple[bytes, Planter]:
    """The file, as pydicom read it, with identifiers everywhere outside its pixels, in its own transfer syntax."""
    planter = Planter(turn)
    _nested(ds, planter)
    planter.fill(_emptied(ds))
    _private(ds, planter)
    _bulk(ds, planter)
    _descriptions(ds, planter)
    meta = ds.file_meta
    meta.SourceApplicationEntityTitle = planter.text(16)
    meta.SendingApplicationEntityTitle, meta.ReceivingApplicationEntityTitle = planter.text(16), planter.text(16)
    meta.PrivateInformationCreatorUID, meta.PrivateInformation = "1.2.826.0.1.3680043.9.7999999", planter.bulk()
    meta.ImplementationVersionName = planter.text(16)
    planter.uids.append("1.2.826.0.1.3680043.9.7999999")
    ds.preamble = planter.text().encode().ljust(128, b"\0")
    return written(ds), planter


def read(data: bytes) -> Dataset:
    """As pydicom reads it, without what it says of odd values; every value converted."""
    with quietly():
        ds = pydicom.dcmread(BytesIO(data))
        for _ in ds.iterall():
            pass
    return ds


def written(ds: Dataset) -> bytes:
    """A Part 10 file in the encoding that the data set came in."""
    out = BytesIO()
    implicit, little = ds.original_encoding
    with quietly():
        dcmwrite(out, ds, implicit_vr=bool(implicit), little_endian=bool(little), enforce_file_format=True)
    return out.getvalue()


def _emptied(ds: Dataset) -> Dataset:
    """Without what the file has in the places that are filled, sequences that stay apart."""
    for tag, _ in table():
        if tag in ds and tag not in IN_TABLE:
            del ds[tag]
    return ds


def _nested(ds: Dataset, planter: Planter) -> None:
    """At each depth a fifth of the attributes in a sequence of the table, another fifth in one outside it."""
    deep = Dataset()
    for depth in (3, 2, 1):
        inside, outside = Dataset(), Dataset()
        planter.fill(inside, (planter.turn + depth) % PARTS, (depth, True))
        planter.fill(outside, (planter.turn + depth + 2) % PARTS, (depth, False))
        if depth < 3:
            inside.add(DataElement(0x00081250, "SQ", Sequence([deep])))  # Related Series Sequence
            outside.add(DataElement(0x00081115, "SQ", Sequence([deep])))  # Referenced Series Sequence
            deep = Dataset()
        deep.add(DataElement(IN_TABLE[(planter.turn + depth) % len(IN_TABLE)], "SQ", Sequence([inside])))
        deep.add(DataElement((0x00081250, 0x00089215, 0x00082228)[planter.turn % 3], "SQ", Sequence([outside])))
    for element in deep:
        if element.tag in ds:
            ds[element.tag].value.extend(element.value)
        else:
            ds[element.tag] = element
    for keyword in ("SequenceOfUltrasoundRegions", "AnatomicRegionSequence"):  # these stay: what is in their items?
        for item in ds.get(keyword) or ():
            planter.fill(item, planter.turn % PARTS)
            item.private_block(0x0019, planter.text(), create=True).add_new(1, "LO", planter.text())
            item.add_new(0x00082230, "SQ", Sequence([_person(planter)]))


def _person(planter: Planter) -> Dataset:
    item = Dataset()
    item.PatientName, item.PatientID, item.CodeMeaning = planter.text(), planter.text(), planter.text()
    return item


def _private(ds: Dataset, planter: Planter) -> None:
    for creator in ("GEMS_Ultrasound_MovieGroup_001", "SIEMENS MEDCOM HEADER", "ACME 1.0", planter.text()):
        block = ds.private_block(0x7FE1 if creator.startswith("GEMS") else 0x0029, creator, create=True)
        inner = _person(planter)
        inner.private_block(0x0011, planter.text(), create=True).add_new(2, "PN", planter.text())
        block.add_new(0x01, "LO", planter.text())
        block.add_new(0x02, "SQ", Sequence([inner]))
        block.add_new(0x03, "UN", planter.bulk())
        block.add_new(0x04, "OB", b"\xff\xd8\xff\xfe" + planter.bulk() + b"\xff\xd9")  # a picture of its own
        block.add_new(0x05, "UI", planter._value("UI", 0))


def _bulk(ds: Dataset, planter: Planter) -> None:
    for group in (0x5000, 0x501E, 0x6000, 0x60FE):
        for element in (0x0022, 0x0040, 0x1500):
            ds.add_new(group << 16 | element, "LO", planter.text())
        ds.add_new(group << 16 | 0x3000, "OB", planter.bulk())
    ds.add_new(0x60004000, "LT", planter.text())
    ds.add_new(0x5000200C, "OB", planter.bulk())  # Audio Sample Data
    ds.add_new(0x00420011, "OB", planter.bulk())  # Encapsulated Document
    ds.add_new(0x54000100, "SQ", Sequence([_waveform(planter)]))
    ds.add_new(0x00880200, "SQ", Sequence([_icon(planter)]))
    for tag in (0x4FFE0001, 0xFFFAFFFA):  # MAC parameters, digital signatures
        item = _person(planter)
        item.add_new(0x04000120, "OB", planter.bulk())
        ds.add_new(tag, "SQ", Sequence([item]))
    ds.add_new(0xFFFCFFFC, "OB", planter.bulk())  # Data Set Trailing Padding
    ds.add_new(0x0018FFFE, "UN", planter.bulk())  # in no dictionary


def _waveform(planter: Planter) -> Dataset:
    item = Dataset()
    item.add_new(0x54001010, "OW", planter.bulk())
    return item


def _icon(planter: Planter) -> Dataset:
    item = Dataset()
    item.Rows = item.Columns = 8
    item.BitsAllocated = item.BitsStored = 8
    item.PixelData = planter.bulk()
    item["PixelData"].VR = "OB"
    return item


def _descriptions(ds: Dataset, planter: Planter) -> None:
    """Free text where a word may stay, and where none may."""
    for keyword in ("StudyDescription", "SeriesDescription", "ProtocolName", "PerformedProcedureStepDescription"):
        setattr(ds, keyword, f"US {planter.text()} Abdomen 19500102")
    for keyword in ("ImageComments", "DerivationDescription", "PatientComments", "AdditionalPatientHistory"):
        setattr(ds, keyword, f"seen by Dr {planter.text()}")


def with_comment(frame: bytes, text: bytes) -> bytes:
    """A JPEG, JPEG-LS or JPEG 2000 frame with a comment, and the text once more behind its end."""
    if frame[:4] == b"\xff\x4f\xff\x51":  # J2K: after SIZ
        at = 4 + struct.unpack(">H", frame[4:6])[0]
        comment = b"\xff\x64" + struct.pack(">HH", len(text) + 4, 1) + text
    elif frame[:2] == b"\xff\xd8":
        at, comment = 2, b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text
    else:
        at, comment = len(frame), b""
    return frame[:at] + comment + frame[at:] + text
