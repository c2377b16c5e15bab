"""What was done to the header of one image, in words and counts, for the people of the site where it was taken.

Nothing that was removed or replaced is repeated here; what is shown is what left. Names of attributes are those of the
standard's English edition, also on Japanese pages: there is no official Japanese list of them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from pydicom.datadict import dictionary_description, keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from core.deid import headers, profile, values, words
from core.deid.search import Search
from core.dicom.quiet import PARSER_ERRORS

What = Literal["removed", "replaced", "shifted", "kept", "cleaned", "emptied", "added"]
META: Final = "file meta information"
PREAMBLE: Final = "preamble"
PRIVATE: Final = "private attribute"
_SHOWN: Final = frozenset({"text", "code", "number", "words", "sex", "age"})
_LONGEST: Final = 64
_WHATS: Final[dict[str, What]] = {
    "shift": "shifted", "uid": "replaced", "standard_uid": "replaced", "research_id": "replaced", "written": "replaced",
    "pixels": "replaced",
}  # fmt: skip
_Pair = tuple[Dataset, Dataset, str, str, int]


@dataclass(frozen=True)
class Change:
    """One attribute. `path` is where it stands, `A[2].B[1]` with items counted from 1, empty at the top level.

    `action` is what Table E.1-1 asks for under the options, empty where the table does not list the attribute.
    `elements` counts what went or stayed with a sequence. `shown` is the short value that leaves, where it is one that
    was kept or cleaned: never one that was removed, replaced, emptied or shifted."""

    tag: str
    keyword: str
    name: str
    path: str
    depth: int
    what: What
    action: str
    elements: int = 1
    shown: str = ""


def changes(original: Dataset, released: Dataset, options: frozenset[str] = profile.DEFAULT_OPTIONS) -> list[Change]:
    """Every attribute of the original header and what became of it, then what was added; sequences that went are one.

    Pixel Data are left out: they are the candidate's. Pure: neither data set is changed."""
    found = list(_of_meta(original, released, options))
    waiting: list[_Pair] = [(original, released, "", "", 0)]
    while waiting:
        pair = waiting.pop(0)
        old, new, parent, path, depth = pair
        for tag in sorted({int(tag) for tag in (*old.keys(), *new.keys())} - {0x7FE00010}):
            change = _change(pair, tag, options)
            found.append(change)
            if change.what in {"kept", "cleaned"} and tag in new and new[tag].VR == "SQ":
                rule = profile.allowed(tag, parent)
                waiting.extend(
                    (one, other, rule.keyword if rule else "", _below(path, change, number), depth + 1)
                    for number, one, other in _items(old[tag], new[tag], rule)
                )
    return found


def summary(found: Sequence[Change]) -> dict[str, dict[str, int]]:
    """Counts by what was done, and by action of Table E.1-1 (`not listed`, `private`)."""
    actions = (PRIVATE if one.name == PRIVATE else one.action or "not listed" for one in found)
    return {"by_kind": dict(Counter(one.what for one in found)), "by_action": dict(Counter(actions))}


def header_report(original: Dataset, released: Dataset, needles: Sequence[str] = ()) -> dict[str, Any]:
    """JSON-able: method, options with their meanings, counts, every change, the words that stay, how it was looked for.

    `looked_for`: how many values of the patient, and how many of them as whole words or whole numbers only."""
    search = Search(needles)
    found = changes(original, released)
    codes = [str(item.CodeValue) for item in released.get("DeidentificationMethodCodeSequence") or ()]
    return {
        "edition": profile.EDITION,
        "method": str(released.get("DeidentificationMethod") or ""),
        "options": {code: profile.method_codes().get(code, "") for code in codes},
        "counts": summary(found),
        "changes": [asdict(one) for one in found],
        "descriptions": [asdict(one) for one in words.descriptions(original, search)],
        "looked_for": {
            "values": search.count, "whole_words": search.whole_words, "whole_numbers": search.whole_numbers,
        },
    }  # fmt: skip


def _of_meta(original: Dataset, released: Dataset, options: frozenset[str]) -> Iterator[Change]:
    """The preamble and the file meta information, which is written anew."""
    if any(getattr(original, "preamble", None) or b""):
        yield Change("", "", PREAMBLE, PREAMBLE, 0, "emptied", "")
    old, new = (getattr(one, "file_meta", None) or Dataset() for one in (original, released))
    for tag in sorted({int(tag) for tag in (*old.keys(), *new.keys())}):
        what: What = "removed" if tag not in new else "added" if tag not in old else "replaced"
        if what == "replaced" and old[tag].value == new[tag].value:
            what = "kept"
        yield _made(tag, META, 0, what, options)


def _change(pair: _Pair, tag: int, options: frozenset[str]) -> Change:
    old, new, parent, path, depth = pair
    if tag not in new:
        return _made(tag, path, depth, "removed", options, elements=_count(old, tag))
    element = new[tag]
    rule = profile.allowed(tag, parent)
    kind = rule.rule if rule is not None else "written"
    if tag not in old:
        return _made(tag, path, depth, "added", options, elements=_count(new, tag))
    what = _what(_read(old, tag), element, kind)
    text = "\\".join(map(str, values.parts(element.value)))
    is_shown = what in {"kept", "cleaned"} and kind in _SHOWN and len(text) <= _LONGEST
    return _made(tag, path, depth, what, options, elements=_count(new, tag), shown=text if is_shown else "")


def _what(old: DataElement | None, new: DataElement, kind: str) -> What:
    if new.VR == "SQ":
        if kind == "written":
            return "replaced"
        is_whole = old is not None and old.VR == "SQ" and len(old.value or ()) == len(new.value)
        return "kept" if is_whole else "cleaned"
    before = values.parts(old.value) if old is not None else []
    after = values.parts(new.value)
    if [str(one).strip(" \0") for one in before] == [str(one).strip(" \0") for one in after]:
        return "kept"
    if not after:
        return "emptied"
    return _WHATS.get(kind, "cleaned")


def _items(old: DataElement, new: DataElement, rule: profile.Allowed | None) -> Iterator[tuple[int, Dataset, Dataset]]:
    """(number from 1 in the original, original item, released item): the items that stayed, in their order."""
    if rule is None or rule.rule == "written":
        return
    stayed = [(number, item) for number, item in enumerate(old.value or (), 1) if headers.keeps_item(item, rule)]
    for (number, item), other in zip(stayed, new.value, strict=False):
        yield number, item, other


def _below(path: str, change: Change, number: int) -> str:
    return f"{path}.{change.keyword}[{number}]".lstrip(".")


def _made(
    tag: int, path: str, depth: int, what: What, options: frozenset[str], *, elements: int = 1, shown: str = ""
) -> Change:
    name, keyword = PRIVATE, ""
    if not tag >> 16 & 1:
        keyword = keyword_for_tag(tag)
        name = _name(tag)
    written = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    return Change(written, keyword, name, path, depth, what, profile.action(tag, options) or "", elements, shown)


def _name(tag: int) -> str:
    try:
        return dictionary_description(tag)
    except KeyError:
        return "unknown attribute"


def _read(dataset: Dataset, tag: int) -> DataElement | None:
    try:
        return dataset[tag]
    except PARSER_ERRORS:
        return None


def _count(dataset: Dataset, tag: int) -> int:
    """The element and everything inside it, counted with a stack."""
    element = _read(dataset, tag)
    if element is None or element.VR != "SQ" or isinstance(element.value, bytes | str):
        return 1
    count, waiting = 1, list(element.value or ())
    while waiting:
        item = waiting.pop()
        for inner in item.keys():  # noqa: SIM118 - iteration would convert
            count += 1
            found = _read(item, int(inner))
            if found is not None and found.VR == "SQ" and not isinstance(found.value, bytes | str):
                waiting.extend(found.value or ())
    return count
