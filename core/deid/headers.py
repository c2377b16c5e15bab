"""Makes the header that leaves: what the profile allows, checked, under new identities; everything else is left behind."""

from dataclasses import dataclass
from typing import Any, Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID

from core.deid import profile, values, words
from core.deid.candidate import Index
from core.deid.pixel_header import add_pixel_attributes
from core.deid.pseudonyms import Pseudonyms, is_standard_uid
from core.deid.search import Search
from core.errors import Held

SOP_CLASSES: Final = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.6.1",  # Ultrasound Image
        "1.2.840.10008.5.1.4.1.1.3.1",  # Ultrasound Multi-frame Image
        "1.2.840.10008.5.1.4.1.1.6",  # both, retired
        "1.2.840.10008.5.1.4.1.1.3",
        "1.2.840.10008.5.1.4.1.1.7",  # Secondary Capture
    }
)
_DOCUMENTS: Final = "1.2.840.10008.5.1.4.1.1.88."  # structured reports and key object selections (PS3.4 B.5)
IMPLEMENTATION_CLASS: Final = "2.25.57260756930018002976362116727944642499"
IMPLEMENTATION_VERSION: Final = "SONOBANK_1"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
METHOD: Final = f"Sonobank 1; PS3.15 Annex E {profile.EDITION}"
MAX_DEPTH: Final = 32
_BAD_VALUE = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)


def deidentify(
    dataset: Dataset,
    pseudonyms: Pseudonyms,
    index: Index,
    *,
    revision: int = 0,
    needles: tuple[str, ...] = (),
    options: frozenset[str] = profile.DEFAULT_OPTIONS,
) -> Dataset:
    """The new header with its file meta information, without Pixel Data; `dataset` stays as it is.

    `index` is the candidate whose stream goes into the file, `revision` that of its mask: it is part of the SOP
    Instance UID only. `needles` are the patient's values, of which none may be in what stays. Without 113101 among
    the options nothing is said of burned-in text. Attributes of Table E.1-1 that the ultrasound IODs do not need are
    removed also where the table would have them replaced: nothing is stricter.
    Raises Held with the keyword alone when a value must be looked at, or the object is no ultrasound image."""
    profile.check_options(options)
    check_kind(dataset)
    work = _Work(dataset, pseudonyms, revision, Search(needles), options, values.device_names(dataset))
    out = work.walked()
    work.add_age(out)
    if index.source_syntax == BIG_ENDIAN:  # their words would come out swapped
        out.pop("ModalityLUTSequence", None)
        out.pop("VOILUTSequence", None)
    add_pixel_attributes(out, dataset, index)
    _add_own(out, pseudonyms, options)
    _complete(out)
    work.add_pointers(out)
    out.file_meta = _file_meta(out, index)
    return out


def check_kind(dataset: Dataset) -> None:
    """Raises Held unless the object is an ultrasound image, as `SOP_CLASSES` has them."""
    kind = str(dataset.get("SOPClassUID"))
    if kind.startswith(_DOCUMENTS):
        raise Held("Structured reports and key object notes are read for their facts; they are never released.")
    if kind not in SOP_CLASSES:
        raise Held("Only ultrasound images can be released.")


@dataclass(frozen=True)
class _Work:
    """One run over one data set."""

    dataset: Dataset
    pseudonyms: Pseudonyms
    revision: int
    search: Search
    options: frozenset[str]
    device: tuple[str, ...]

    def walked(self) -> Dataset:
        """Every allowed element at every level; a stack instead of recursion."""
        out = Dataset()
        waiting = [(self.dataset, out, "", 0)]
        while waiting:
            source, target, parent, depth = waiting.pop()
            for tag in source.keys():  # noqa: SIM118 - iteration would convert what goes anyway
                rule = profile.allowed(int(tag), parent)
                if rule is None or rule.rule in {"written", "pixels", "pointer"}:
                    continue
                element = _element(source, int(tag), rule)
                if element is None:
                    continue
                if element.VR == "SQ":
                    if depth == MAX_DEPTH:
                        raise Held("The sequences of the file are nested too deeply.")
                    items = [(item, Dataset()) for item in element.value or () if keeps_item(item, rule)]
                    if items:
                        target.add(DataElement(tag, "SQ", DicomSequence([new for _, new in items])))
                        waiting.extend((item, new, rule.keyword, depth + 1) for item, new in items)
                    continue
                value = self._value(element, rule, source)
                value = "" if value is None and rule.type in {"2", "2C"} else value
                if value is not None:
                    target.add(DataElement(tag, element.VR, value, already_converted=True))
        return out

    def _value(self, element: DataElement, rule: profile.Allowed, source: Dataset) -> Any:  # noqa: ANN401
        """What stays of one value, None where nothing does."""
        try:
            return self._judged(element, rule, source)
        except _BAD_VALUE:
            return None

    def _judged(self, element: DataElement, rule: profile.Allowed, source: Dataset) -> Any:  # noqa: ANN401
        keeps_person = profile.PATIENT_CHARACTERISTICS in self.options
        is_person = element.tag >> 16 == 0x0010 and rule.rule in {"number", "age", "sex"}
        if rule.rule == "empty" or (is_person and not keeps_person):
            return ""
        if rule.rule == "number":
            return values.number(element, self.search)
        if rule.rule == "code":
            return values.code(element, self.search)
        if rule.parent == profile.CODE_ITEMS and values.is_public_code(source):
            return str(element.value)
        if rule.rule in {"text", "lut"}:
            return values.text(element, self.search, self.device) if rule.rule == "text" else element.value
        if rule.rule == "words":
            return self._described(element)
        if rule.rule == "shift":
            return self._moved(element, source)
        if rule.rule == "sex":
            return values.sex(element)
        if rule.rule == "age":
            return values.age(element)
        return self._identity(element, rule)

    def _described(self, element: DataElement) -> str | None:
        """The allowed words of a description; none where the option is left out."""
        if profile.CLEAN_DESCRIPTORS not in self.options:
            return None
        return words.kept(words.described(element.value), self.search) or None

    def _identity(self, element: DataElement, rule: profile.Allowed) -> Any:  # noqa: ANN401
        if rule.rule == "research_id":
            return self.pseudonyms.research_id
        if rule.rule == "standard_uid":
            return str(element.value) if is_standard_uid(str(element.value)) else None
        if rule.rule != "uid":
            raise Held(f"{rule.keyword} has no rule that is known here.")
        revision = self.revision if rule.keyword == "SOPInstanceUID" else 0
        new = [self.pseudonyms.uid(str(one), revision) for one in values.parts(element.value)]
        return (new if len(new) > 1 else new[0]) if new else None

    def _moved(self, element: DataElement, source: Dataset) -> str | None:
        if profile.MODIFIED_DATES not in self.options:
            return ""
        old = str(element.value or "")
        if element.VR == "DT":
            return self.pseudonyms.moved_date_time(old)
        if element.VR == "TM":
            return self.pseudonyms.moved_time(old)
        time = source.get(element.keyword.removesuffix("Date") + "Time")
        return self.pseudonyms.moved_date(old, str(time or ""))

    def add_age(self, out: Dataset) -> None:
        """The age at the study from the birth date, where the scanner wrote none."""
        if "PatientAge" in out or profile.PATIENT_CHARACTERISTICS not in self.options:
            return
        birth, study = (str(self.dataset.get(keyword) or "") for keyword in ("PatientBirthDate", "StudyDate"))
        if years := values.age_between(birth, study):
            out.PatientAge = years

    def add_pointers(self, out: Dataset) -> None:
        """Frame Increment Pointer, as far as what it points at is there."""
        if (element := self.dataset.get("FrameIncrementPointer")) is None:
            return
        tags = [int(tag) for tag in values.parts(element)]
        if tags and all(tag in out and tag >> 16 == 0x0018 for tag in tags):
            out.FrameIncrementPointer = tags if len(tags) > 1 else tags[0]


def _element(source: Dataset, tag: int, rule: profile.Allowed) -> DataElement | None:
    """The element if it can be read and has the VR that its attribute has."""
    try:
        element = source[tag]
        vr = str(element.VR)
        value = element.value
    except _BAD_VALUE:
        return None
    return element if vr in rule.vrs and not (vr == "SQ" and isinstance(value, bytes | str)) else None


def keeps_item(item: Dataset, rule: profile.Allowed) -> bool:
    """Whether an item of a sequence that may stay does: codes of public lists and whole tables only."""
    try:
        if rule.rule == "codes":
            return values.is_known_code(item)
        return values.lut_item(item) if rule.keyword in {"ModalityLUTSequence", "VOILUTSequence"} else True
    except _BAD_VALUE:
        return False


def _add_own(out: Dataset, pseudonyms: Pseudonyms, options: frozenset[str]) -> None:
    out.SpecificCharacterSet = "ISO_IR 192"
    out.PatientName = out.PatientID = pseudonyms.research_id
    out.PatientIdentityRemoved = "YES"
    out.DeidentificationMethod = METHOD
    out.DeidentificationMethodCodeSequence = DicomSequence([_method(code) for code in sorted(options)])
    is_moved = profile.MODIFIED_DATES in options
    out.LongitudinalTemporalInformationModified = "MODIFIED" if is_moved else "REMOVED"
    if profile.CLEAN_PIXELS in options:
        out.BurnedInAnnotation = "NO"


def _method(code: str) -> Dataset:
    item = Dataset()
    for tag, vr, value in (
        (0x00080100, "SH", code), (0x00080102, "SH", "DCM"), (0x00080104, "LO", profile.method_codes()[code]),
    ):  # fmt: skip
        item.add(DataElement(tag, vr, value, already_converted=True))
    return item


def _complete(out: Dataset) -> None:
    """Type 2 attributes of the ultrasound IODs are there though empty; a missing type 1 is a person's matter."""
    for rule in profile.allow_list():
        if rule.parent or rule.tag == 0x7FE00010:
            continue
        if rule.type == "2" and rule.tag not in out:
            out.add(DataElement(rule.tag, min(rule.vrs), ""))
        elif rule.type == "1" and rule.tag not in out and rule.rule != "written":
            raise Held(f"{rule.keyword} is missing or cannot be kept.")
    if "FrameOfReferenceUID" in out:  # the module needs both (PS3.3 C.7.4.1)
        out.PositionReferenceIndicator = ""
    else:
        out.pop("PositionReferenceIndicator", None)
    for tag in [tag for tag in out.keys() if _is_optional(int(tag)) and not values.parts(out[tag].value)]:  # noqa: SIM118
        del out[tag]


def _is_optional(tag: int) -> bool:
    rule = profile.allowed(tag)
    return rule is None or rule.type == "3"


def _file_meta(out: Dataset, index: Index) -> FileMetaDataset:
    """Written anew: no application's title, no version but our own (PS3.10 section 7.1)."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = out.SOPClassUID
    meta.MediaStorageSOPInstanceUID = out.SOPInstanceUID
    meta.TransferSyntaxUID = UID(index.format.transfer_syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    return meta
