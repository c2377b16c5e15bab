"""Drawing a console's screen round an ultrasound picture: banner, settings, grey bar, ruler, body mark, callipers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ml.phantom_cine import Box, Converter
from ml.phantom_devices import GREY, IDENTIFYING, WHITE, Device

FONT = Path(__file__).parent / "fonts" / "NotoSansCJKjp-Phantom.otf"
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class BurnedText:
    """A text that is part of the pixels: what kind of value it is and its box x, y, width, height in pixels."""

    kind: str
    text: str
    box: Box

    @property
    def identifying(self) -> bool:
        return self.kind in IDENTIFYING


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONT), size)


class Screen:
    """One console's screen with this patient's banner; pictures of the same exam are placed on it."""

    def __init__(self, device: Device, converter: Converter, values: Mapping[str, str], domain: str) -> None:
        self.device = device
        self.texts: list[BurnedText] = []
        self._converter = converter
        self._domain = domain
        image = Image.new("RGB", (device.columns, device.rows))
        self._draw = ImageDraw.Draw(image)
        self._draw.fontmode = "L"
        for (x, y, width, height), colour in device.fills:
            self._draw.rectangle((x, y, x + width - 1, y + height - 1), fill=colour)
        for line in device.lines:
            self._write(line.kind, line.pattern.format_map(values), line.x, line.y, line.size, line.colour)
        self._grey_bar()
        self._ruler()
        self._body_mark()
        self._base: Picture = np.asarray(image, dtype=np.uint8)

    @property
    def region(self) -> Box:
        """Where the ultrasound picture lies on the screen: x, y, width, height."""
        rows, columns = np.nonzero(self._converter.inside)
        x, y = self.device.view[:2]
        left, top = int(columns.min()), int(rows.min())
        return x + left, y + top, int(columns.max()) - left + 1, int(rows.max()) - top + 1

    def show(
        self, picture: Picture, callipers: Box | None = None, typed: str = ""
    ) -> tuple[Picture, tuple[BurnedText, ...]]:
        """(rows, columns, 3) uint8 screen with the (height, width) picture in its place, and every text on it.

        `typed`: a name that the examiner typed into the picture itself, where no rule for the banner can cover it."""
        x, y = self.device.view[:2]
        inside = self._converter.inside
        screen = self._base.copy()
        screen[y : y + inside.shape[0], x : x + inside.shape[1]][inside] = picture[inside][:, None]
        image = Image.fromarray(screen)
        texts = list(self.texts)
        if callipers is not None:
            texts.append(self._measure(ImageDraw.Draw(image), callipers))
        if typed:
            texts.append(self._annotate(ImageDraw.Draw(image), typed))
        return np.asarray(image, dtype=np.uint8), tuple(texts)

    def _annotate(self, draw: ImageDraw.ImageDraw, typed: str) -> BurnedText:
        """In the lower left of the ultrasound region."""
        x, y, _, height = self.region
        left, top = x + 6, y + height - 34
        draw.text((left, top), typed, fill=WHITE, font=font(18), anchor="la")
        x0, y0, x1, y1 = font(18).getbbox(typed, anchor="la")
        return BurnedText("name", typed, (left + int(x0), top + int(y0), int(x1 - x0) + 1, int(y1 - y0) + 1))

    def _write(self, kind: str, text: str, x: int, y: int, size: int, colour: tuple[int, int, int]) -> None:
        left, top, right, bottom = font(size).getbbox(text, anchor="la")
        # A CJK font leaves much room above Latin letters; a console does not.
        y -= int(size * 0.22)
        self._draw.text((x, y), text, fill=colour, font=font(size), anchor="la")
        box = (int(x + left), int(y + top), int(np.ceil(right - left)), int(np.ceil(bottom - top)))
        self.texts.append(BurnedText(kind, text, box))

    def _grey_bar(self) -> None:
        x, y, width, height = self.device.grey_bar
        for row in range(height):
            shade = 255 - 255 * row // (height - 1)
            self._draw.line((x, y + row, x + width - 1, y + row), fill=(shade, shade, shade))
        self._draw.rectangle((x - 1, y - 1, x + width, y + height), outline=(90, 90, 90))

    def _ruler(self) -> None:
        """A tick each cm (deep) or half cm (shallow), longer and with its number at 5 cm or 1 cm."""
        depth_mm = {"liver": 150, "breast": 40, "heart": 160}[self._domain]
        small, large = (5, 10) if self._domain == "breast" else (10, 50)
        top = self.device.view[1] + self._converter.face_px[1]
        for mm in range(0, depth_mm + 1, small):
            y = round(top + mm / self._converter.mm_per_px)
            long = mm % large == 0
            self._draw.line((self.device.ruler_x, y, self.device.ruler_x + (7 if long else 3), y), fill=GREY)
            if long and mm:
                self._write("technical", str(mm // 10), self.device.ruler_x + 10, y - 6, 11, GREY)
        focus = round(top + 0.45 * depth_mm / self._converter.mm_per_px)
        x = self.device.ruler_x - 4
        self._draw.polygon(((x - 6, focus - 4), (x - 6, focus + 4), (x, focus)), fill=(230, 200, 60))

    def _body_mark(self) -> None:
        x, y = self.device.body_mark
        if self._domain == "liver":
            self._draw.line((x, y, x + 6, y + 20, x + 4, y + 44, x + 12, y + 56), fill=GREY)
            self._draw.line((x + 40, y, x + 34, y + 20, x + 36, y + 44, x + 28, y + 56), fill=GREY)
            self._draw.arc((x + 6, y + 14, x + 34, y + 46), 200, 340, fill=GREY)
            probe = (x + 8, y + 28, x + 20, y + 22)
        elif self._domain == "heart":
            self._draw.polygon(((x, y + 12), (x + 20, y), (x + 42, y + 14), (x + 26, y + 52)), outline=GREY)
            probe = (x + 20, y + 56, x + 34, y + 48)
        else:
            self._draw.ellipse((x, y + 8, x + 42, y + 50), outline=GREY)
            self._draw.ellipse((x + 18, y + 26, x + 24, y + 32), outline=GREY)
            self._draw.line((x + 38, y + 12, x + 50, y + 2), fill=GREY)
            probe = (x + 26, y + 16, x + 36, y + 24)
        self._draw.line(probe, fill=(230, 200, 60), width=3)

    def _measure(self, draw: ImageDraw.ImageDraw, box: Box) -> BurnedText:
        """Crosses at both sides of the lesion, dots between them, and the distance at the lower left of the picture."""
        x, y, width, height = box
        middle = y + height // 2
        for end in (x, x + width - 1):
            draw.line((end - 5, middle, end + 5, middle), fill=WHITE)
            draw.line((end, middle - 5, end, middle + 5), fill=WHITE)
        for dot in range(x + 8, x + width - 8, 6):
            draw.point((dot, middle), fill=WHITE)
        text = f"1 D {(width - 1) * self._converter.mm_per_px:.1f} mm"
        left, top = self.device.view[0] + 4, self.device.view[1] + self.device.view[3] - 22
        draw.text((left, top), text, fill=WHITE, font=font(13), anchor="la")
        shape = font(13).getbbox(text, anchor="la")
        return BurnedText(
            "technical",
            text,
            (left + int(shape[0]), top + int(shape[1]), int(shape[2] - shape[0]) + 1, int(shape[3] - shape[1]) + 1),
        )
