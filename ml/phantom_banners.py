"""Generated screens of twelve makers with banners and measurements, to count what a reader of burned-in text finds.

`banner(seed, number)` is always the same picture. The strata go round with the number: maker, height of the letters
(11 to 24 px), script, contrast, drawing of the letters (smooth, bitmap), banner or over speckle, stored as JPEG or not."""

from dataclasses import dataclass, field
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ml.phantom_people import INSTITUTIONS, Patient, make_operator, make_patient
from ml.phantom_screens import font

Picture = NDArray[np.uint8]
Box = tuple[int, int, int, int]
Colour = tuple[int, int, int]

SIZES: Final = (11, 12, 14, 16, 18, 24)
SCRIPTS: Final = ("latin", "japanese")
CONTRASTS: Final = ("clear", "clear", "low")
DRAWINGS: Final = ("smooth", "bitmap", "plain")
PLACES: Final = ("banner", "banner", "speckle")
MEASURED: Final = (
    "+ Dist {a} mm|1 D {a} mm|D1 {a} cm|HR {n} bpm|MI {m}|TIs {t}|Gn {n}|2D|C5-1|Frq {f} MHz|DR {n}|{f} cm|FR {n}Hz|AO% 100|"
    "Vol {a} ml|E/A {m}|Vmax {n} cm/s|S/A 2/1|Map F/0|Gen THI|PRF {f} kHz|WF 60Hz|Liver|RT Kidney|GB|Area {a} cm2|RI 0.{n}|"
    "SV {m} mm|Long Axis|Sag"
).split("|")
MEASURED_JA: Final = (
    "距離 {a} mm|肝臓|胆嚢|右葉|計測 {a} mm|左葉 {a} cm|深度 {f} cm|右腎|甲状腺|門脈|乳房 右|面積 {a} cm2|心拍数 {n}|長軸|"
    "HR {n} bpm|+ Dist {a} mm|MI {m}|Gn {n}"
).split("|")


@dataclass(frozen=True)
class Layout:
    """A maker's screen: its size, the height of its banner, colours, and where each line starts.

    A line is (pattern of kinds joined with +, x in thousandths of the width, row of the banner from 0)."""

    maker: str
    rows: int
    columns: int
    banner: int
    paper: Colour
    ink: Colour
    lines: tuple[tuple[str, int, int], ...]
    inside: tuple[tuple[str, int, int], ...] = ()  # pattern, x and y in thousandths of the screen


_B: Final = (24, 26, 32)
LAYOUTS: Final = (
    Layout("ge-logiq", 720, 960, 66, (38, 42, 50), (235, 235, 235),
           (("institution", 8, 0), ("name", 340, 0), ("operator", 640, 0), ("date", 8, 1), ("time", 160, 1), ("id", 340, 1),
            ("birth", 640, 1))),
    Layout("ge-vivid", 708, 1016, 56, (0, 0, 0), (220, 220, 120), (("name", 6, 0), ("id", 6, 1), ("date+time", 300, 1))),
    Layout("philips-iu22", 768, 1024, 72, (44, 60, 96), (240, 240, 240),
           (("name", 90, 0), ("date", 820, 0), ("id", 90, 1), ("institution", 340, 1), ("time", 820, 1))),
    Layout("philips-epiq", 768, 1024, 26, (30, 30, 34), (220, 225, 230),
           (("name+id", 6, 0), ("birth", 380, 0), ("date+time", 700, 0))),
    Layout("atl-hdi", 480, 640, 40, (0, 0, 0), (200, 230, 255),
           (("name", 60, 0), ("date", 760, 0), ("id", 60, 1), ("time", 760, 1))),
    Layout("siemens-s2000", 768, 1024, 58, (0, 0, 0), (230, 230, 230),
           (("name", 4, 0), ("operator", 360, 0), ("time+date", 470, 0), ("accession", 760, 0), ("id", 4, 1),
            ("institution", 500, 1))),
    Layout("acuson-sequoia", 480, 640, 30, (20, 20, 60), (255, 255, 255), (("institution", 30, 0), ("name", 450, 0)),
           (("time", 830, 85), ("id", 720, 130))),
    Layout("canon-aplio", 720, 960, 60, (20, 20, 24), (200, 200, 200),
           (("institution", 8, 0), ("id", 300, 0), ("name", 470, 0), ("date", 760, 0), ("birth", 470, 1), ("time", 760, 1))),
    Layout("aloka-ssd", 480, 640, 26, (0, 0, 0), (210, 210, 210), (("institution", 120, 0), ("date", 800, 0)),
           (("time", 800, 65), ("id", 20, 880))),
    Layout("mindray-dc", 768, 1024, 68, (28, 34, 44), (225, 225, 225),
           (("institution", 8, 0), ("name", 420, 0), ("date+time", 8, 1), ("id", 420, 1), ("birth", 700, 1))),
    Layout("samsung-medison", 768, 1024, 64, (16, 30, 50), (190, 215, 240),
           (("name+id", 10, 0), ("institution", 500, 0), ("date", 10, 1), ("time", 180, 1), ("accession", 500, 1))),
    Layout("esaote-mylab", 600, 800, 52, (50, 50, 54), (245, 245, 245),
           (("name", 10, 0), ("institution", 480, 0), ("birth", 10, 1), ("id", 300, 1), ("date", 720, 1))),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Written:
    """One line on a screen: `kind` of banner slots or "measure"; `ink` (y1 - y0, x1 - x0) is true where it is drawn."""

    kind: str
    text: str
    box: Box
    ink: NDArray[np.bool_]

    @property
    def identifies(self) -> bool:
        return self.kind != "measure"


@dataclass(frozen=True, eq=False)
class Banner:
    """One picture (H, W, 3) uint8 with all that is written on it, the patient's values by kind, and its strata."""

    picture: Picture
    written: tuple[Written, ...]
    values: dict[str, tuple[str, ...]]
    strata: dict[str, str]
    banner_rows: int


@dataclass
class _Sheet:
    image: Image.Image
    drawing: str
    written: list[Written] = field(default_factory=list)

    def write(self, kind: str, text: str, x: int, y: int, size: int, colour: Colour) -> None:
        face = _face(self.drawing, size, text)
        ink = Image.new("L", self.image.size)
        draw = ImageDraw.Draw(ink)
        draw.fontmode = "1" if self.drawing == "bitmap" else "L"
        top = face.getbbox("A0", anchor="la")[1]
        right = x + face.getbbox(text, anchor="la")[2]
        if right > self.image.width - 2:
            x = max(self.image.width - 2 - int(right - x), 0)
        draw.text((x, y - int(top)), text, fill=255, font=face, anchor="la")
        box = ink.getbbox()
        if box is None:
            return
        self.image.paste(colour, (0, 0), ink)
        self.written.append(Written(kind, text, box, np.asarray(ink.crop(box)) > 127))


def banner(seed: int, number: int) -> Banner:
    """Picture `number` of a series."""
    rng = np.random.default_rng((seed, number))
    layout = LAYOUTS[number % len(LAYOUTS)]
    turn = number // len(LAYOUTS)
    size, script = SIZES[turn % len(SIZES)], SCRIPTS[turn // 6 % 2]
    contrast, drawing, place = (str(rng.choice(names)) for names in (CONTRASTS, DRAWINGS, PLACES))
    is_jpeg = bool(rng.random() < 0.5)
    values = _values(rng, script)
    sheet = _Sheet(_screen(rng, layout), drawing)
    ink = layout.ink
    if contrast == "low":
        ink = tuple(int(paper + 0.3 * (full - paper)) for paper, full in zip(layout.paper, layout.ink, strict=True))  # type: ignore[assignment]
    pitch = max(layout.banner // 2, round(size * 1.35))
    for pattern, x, row in layout.lines:
        text = "  ".join(values[kind][int(rng.integers(len(values[kind])))] for kind in pattern.split("+"))
        sheet.write(pattern, text, x * layout.columns // 1000, 4 + row * pitch, size, ink)
    for pattern, x, y in layout.inside:
        sheet.write(pattern, values[pattern][0], x * layout.columns // 1000, y * layout.rows // 1000, size, layout.ink)
    banner_rows = max([layout.banner, *(one.box[3] + 3 for one in sheet.written if one.box[1] < 4 + 2 * pitch)])
    if place == "speckle":
        name = values["name"][int(rng.integers(len(values["name"])))]
        x, y = int(layout.columns * rng.uniform(0.34, 0.5)), int(layout.rows * rng.uniform(0.4, 0.75))
        sheet.write("name", name, x, y, size, (250, 250, 250))
    _measure(rng, sheet, layout, size, script)
    picture = np.asarray(sheet.image, np.uint8)
    if is_jpeg:
        out = BytesIO()
        sheet.image.save(out, "JPEG", quality=88)
        picture = np.asarray(Image.open(out).convert("RGB"), np.uint8)
    strata = {"maker": layout.maker, "size": str(size), "script": script, "contrast": contrast, "drawing": drawing,
              "place": place, "stored": "jpeg" if is_jpeg else "lossless"}  # fmt: skip
    return Banner(picture, tuple(sheet.written), values, strata, banner_rows)


def _face(drawing: str, size: int, text: str) -> ImageFont.FreeTypeFont:
    """The Latin letters of `plain` are Pillow's own; all else is the phantoms' font."""
    if drawing == "plain" and text.isascii():
        own = ImageFont.load_default(size)
        if isinstance(own, ImageFont.FreeTypeFont):
            return own
    return font(size)


def _values(rng: np.random.Generator, script: str) -> dict[str, tuple[str, ...]]:
    patient: Patient = make_patient(rng, "liver")
    day, born = f"{int(rng.integers(2009, 2026))}", patient.birth_date
    month, number = int(rng.integers(1, 13)), int(rng.integers(1, 29))
    latin, kanji = INSTITUTIONS[int(rng.integers(len(INSTITUTIONS)))]
    family, given = patient.latin.split(" ")
    hour, minute, second = (int(rng.integers(top)) for top in (24, 60, 60))
    era = (f"昭和{born.year - 1925}年{born.month}月{born.day}日", f"S{born.year - 1925}.{born.month}.{born.day}")
    is_ja = script == "japanese"
    return {
        "name": (patient.kanji, patient.kana, patient.kanji.replace(" ", "") + " 様") if is_ja
        else (patient.latin, f"{family}, {given}", f"{family}^{given}"),
        "id": (f"患者ID:{patient.patient_id}", patient.patient_id) if is_ja else (patient.patient_id, f"ID {patient.patient_id}"),
        "birth": (era if born.year >= 1926 else era[:1]) if is_ja
        else (born.strftime("%d-%b-%Y"), born.strftime("DOB: %m/%d/%Y"), born.strftime("%Y/%m/%d")),
        "date": (f"{day}/{month:02}/{number:02}", f"{day}年{month}月{number}日") if is_ja
        else (f"{number:02}-{_MONTHS[month - 1]}-{day[2:]}", f"{month}/{number}/{day}", f"{day}-{month:02}-{number:02}"),
        "time": (f"{hour:02}:{minute:02}:{second:02}",) if is_ja
        else (f"{hour:02}:{minute:02}:{second:02}", f"{hour % 12 or 12}:{minute:02}:{second:02} {'AP'[hour > 11]}M"),
        "institution": (kanji,) if is_ja else (latin,),
        "operator": (make_operator(rng).replace("^", " "),),
        "accession": (f"{int(rng.integers(10**8, 10**9))}",),
        "dicom_name": (patient.person_name(),),
        "dicom_dates": (f"{born:%Y%m%d}", f"{day}{month:02}{number:02}"),
        "dicom_id": (patient.patient_id,),
    }  # fmt: skip


_MONTHS: Final = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()


def _screen(rng: np.random.Generator, layout: Layout) -> Image.Image:
    """A black screen with the banner's paper and a sector of speckle."""
    rows, columns = layout.rows, layout.columns
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    x0, y0 = columns * 0.5, -rows * 0.1
    reach, turn = np.hypot(x - x0, y - y0), np.arctan2(x - x0, y - y0)
    inside = (reach < rows * 1.05) & (reach > rows * 0.24) & (np.abs(turn) < 0.62)
    grain = np.hypot(*(_smooth(rng.standard_normal((rows, columns)).astype(np.float32), 1.1, 2.2) for _ in range(2)))
    tissue = 88 + 26 * _smooth(rng.standard_normal((rows, columns)).astype(np.float32), 24, 30)
    grey = np.where(inside, tissue + 28 * np.log(grain + 1e-3), 0).clip(0, 255).astype(np.uint8)
    picture = np.repeat(grey[:, :, None], 3, axis=2)
    picture[: layout.banner] = layout.paper
    return Image.fromarray(picture)


def _smooth(noise: NDArray[np.float32], down: float, across: float) -> NDArray[np.float32]:
    """Gaussian filter in the frequency domain, to unit spread."""
    fy, fx = np.fft.fftfreq(noise.shape[0])[:, None], np.fft.rfftfreq(noise.shape[1])[None]
    filtered = np.fft.irfft2(
        np.fft.rfft2(noise) * np.exp(-2 * np.pi**2 * ((fy * down) ** 2 + (fx * across) ** 2)), noise.shape
    )
    return np.asarray(filtered / filtered.std(), np.float32)


def _measure(rng: np.random.Generator, sheet: _Sheet, layout: Layout, size: int, script: str) -> None:
    """Settings down the left side and measurements at the lower left of the picture, as consoles place them."""
    pool = MEASURED_JA if script == "japanese" else MEASURED
    chosen = [pool[index] for index in rng.choice(len(pool), 10, replace=False)]
    top = max([layout.banner, *(one.box[3] for one in sheet.written if one.box[1] < layout.banner)]) + 30
    for row, pattern in enumerate(chosen):
        text = pattern.format(
            a=f"{rng.uniform(2, 90):.1f}", n=int(rng.integers(30, 99)), m=f"{rng.uniform(0.2, 1.9):.1f}",
            t=f"{rng.uniform(0, 2):.1f}", f=f"{rng.uniform(2, 18):.1f}",
        )  # fmt: skip
        shade = (235, 235, 235) if row % 3 else (240, 190, 70)
        x = 6 if row < 6 else int(layout.columns * 0.02)
        y = top + row * round(size * 1.5) if row < 6 else layout.rows - (11 - row) * round(size * 1.5) - 8
        left = [one.box for one in sheet.written if one.box[0] < layout.columns // 4]
        if not any(box[1] < y + size + 4 and y < box[3] + 4 for box in left):
            sheet.write("measure", text, x, y, size, shade)
