"""A site's own mask rules: what such a rule says, whether it can be used, and the rule that proposals are made with."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, Self

from core.deid.mask_rules import BLANK, Condition, DeviceFacts, Rect, Rule, fits
from core.dicom.ultrasound import Region
from core.errors import Malformed

MOST_RECTS: Final = 32
MOST_ALIASES: Final = 16
LONGEST: Final = 64
_LARGEST: Final = 16_384
_SIGNS: Final = re.compile(r"^[~=^/]")


class Scale(StrEnum):
    """What a rule says of other sizes of its device: nothing, the same in proportion, or that they are unknown."""

    EXACT = "exact"
    PROPORTIONAL = "proportional"
    REFUSE = "refuse"


@dataclass(frozen=True)
class Content:
    """What one version of a rule says; it never changes. Names are whole names, letter case and double spaces aside.

    `software` and `image_type` are empty or must be contained in the file's value (with = be it, with ^ begin it).
    `rects` are in pixels of a frame of `columns` x `rows`; `outside`: everything outside the ultrasound regions goes
    too, where an image has regions."""

    manufacturer: str
    model: str
    aliases: tuple[str, ...]
    software: str
    image_type: str
    rows: int
    columns: int
    scale: Scale
    outside: bool
    rects: tuple[Rect, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From `as_dict`. Raises Malformed, which says what is wrong."""
        try:
            made = cls(
                _name(values["manufacturer"]),
                _name(values["model"]),
                tuple(filter(None, map(_name, values["aliases"]))),
                _pattern(values["software"]),
                _pattern(values["image_type"]),
                int(values["rows"]),
                int(values["columns"]),
                Scale(values["scale"]),
                bool(values["outside"]),
                tuple(Rect(*map(int, rect)) for rect in values["rects"]),
            )
        except (KeyError, TypeError, ValueError):
            raise Malformed("This is not a rule for a device.") from None
        _check(made)
        return made

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {
            "aliases": list(self.aliases), "scale": self.scale.value, "rects": [list(rect) for rect in self.rects],
        }  # fmt: skip

    @property
    def sha256(self) -> str:
        text = json.dumps(self.as_dict(), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def same_images(self, other: "Content") -> bool:
        """Whether both are for the same device, size, software and kind of image: two such rules contradict."""
        return self._identity() == other._identity()

    def _identity(self) -> tuple[object, ...]:
        names = frozenset(map(_plain, (self.model, *self.aliases)))
        asked = tuple(map(_plain, (self.manufacturer, self.software, self.image_type)))
        return names, *asked, self.rows, self.columns


def _name(value: object) -> str:
    text = " ".join(str(value).split())
    if len(text) > LONGEST or "|" in text or _SIGNS.match(text):
        raise Malformed("A name has at most 64 characters, no | and begins with a letter or a number.")
    return text


def _pattern(value: object) -> str:
    text = " ".join(str(value).split())
    if len(text) > LONGEST or "|" in text or text.startswith("/") or text in {"=", "~", "^"}:
        raise Malformed("A condition has at most 64 characters, no | and is no expression.")
    return text


def _check(content: Content) -> None:
    if not content.model:
        raise Malformed("A rule names a model; an image that names none is looked at one by one.")
    if len(content.aliases) > MOST_ALIASES:
        raise Malformed("A rule has at most 16 other names of its model.")
    if not (0 < content.rows <= _LARGEST and 0 < content.columns <= _LARGEST):
        raise Malformed("The size of the image is missing.")
    if not content.rects and not content.outside:
        raise Malformed("A rule without a rectangle would hide nothing.")
    if len(content.rects) > MOST_RECTS:
        raise Malformed("A rule has at most 32 rectangles.")
    for x, y, width, height in content.rects:
        if min(x, y) < 0 or min(width, height) < 1 or x + width > content.columns or y + height > content.rows:
            raise Malformed("A rectangle leaves the image of the rule.")


@lru_cache(maxsize=512)
def rule_of(code: str, number: int, content: Content) -> Rule:
    """The rule that proposals are made with; the same one for the same content, so that what is made of it is kept."""
    return Rule(
        code, 0, f"={content.manufacturer}" if content.manufacturer else "",
        "|".join(f"={name}" for name in (content.model, *content.aliases)), content.software,
        frozenset({content.rows}), frozenset({content.columns}), _conditions(content), content.rects, BLANK,
        version=f"{number}.{content.sha256[:12]}", scale=content.scale, outside=content.outside,
    )  # fmt: skip


def _conditions(content: Content) -> tuple[Condition, ...]:
    if not content.image_type:
        return ()
    return (lambda facts, _: fits(content.image_type, "\\".join(facts.image_type)),)


def start_rects(facts: DeviceFacts, regions: Sequence[Region], texts: Sequence[Rect] = ()) -> tuple[Rect, ...]:
    """Where a person begins to draw: a band over the texts in the upper quarter (`texts` are boxes that a reader found),
    or over the upper tenth where the image has no ultrasound region."""
    upper = [text for text in texts if text.y + text.height <= facts.rows // 4]
    if upper:
        return (Rect(0, 0, facts.columns, min(facts.rows, max(text.y + text.height for text in upper) + 4)),)
    return () if regions else (Rect(0, 0, facts.columns, max(1, facts.rows // 10)),)


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())
