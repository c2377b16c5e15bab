"""The screens of the generated studies: where each console writes what, in pixels.

Sizes and banners follow published mask rules (CTP, susom/mirc-ctp, dicom-dre): `banner` is what such a rule blanks for
this manufacturer, model and size; every identifying line lies inside it. The last console is one that no rule knows."""

from dataclasses import dataclass

Rect = tuple[int, int, int, int]
Colour = tuple[int, int, int]
WHITE, GREY, CYAN, AMBER, GREEN = (235, 235, 235), (150, 150, 150), (120, 200, 225), (240, 190, 70), (130, 210, 130)
IDENTIFYING = frozenset({"name", "patient_id", "birth_date", "institution", "date", "time", "operator", "accession"})


@dataclass(frozen=True)
class Line:
    """One text on the screen: what kind of value it is, its pattern, and its top left corner in pixels."""

    kind: str
    pattern: str
    x: int
    y: int
    size: int = 12
    colour: Colour = WHITE


@dataclass(frozen=True)
class Device:
    """A console: its tags, the size of its screen, and what stands where (x, y, width, height)."""

    key: str
    manufacturer: str
    model: str
    software: str
    station: str
    rows: int
    columns: int
    banner: tuple[Rect, ...]
    view: Rect
    fills: tuple[tuple[Rect, Colour], ...]
    lines: tuple[Line, ...]
    grey_bar: Rect
    ruler_x: int
    body_mark: tuple[int, int]
    probes: dict[str, tuple[str, int, int]]  # by domain: name, centre frequency in kHz, serial


def _column(x: int, y: int, pitch: int, size: int, colour: Colour, patterns: str) -> tuple[Line, ...]:
    """Technical lines one under the other; `patterns` are parted by a bar."""
    return tuple(Line("technical", text, x, y + n * pitch, size, colour) for n, text in enumerate(patterns.split("|")))


LOGIQ_E9 = Device(
    key="logiq-e9",
    manufacturer="GE Healthcare",
    model="LOGIQE9",
    software="LOGIQE9:R6.1.2",
    station="LOGIQE9-1",
    rows=614,
    columns=820,
    banner=((0, 0, 568, 55),),
    view=(92, 86, 630, 500),
    fills=(((0, 0, 820, 55), (38, 42, 50)),),
    lines=(
        Line("institution", "{institution}", 8, 4, 14),
        Line("name", "{latin}", 190, 4, 15),
        Line("name", "{kanji}", 392, 4, 15),
        Line("operator", "{operator}", 486, 6, 11, GREY),
        Line("date", "{date}", 8, 30, 14),
        Line("time", "{time}", 96, 30, 14),
        Line("patient_id", "ID {patient_id}", 190, 30, 14),
        Line("birth_date", "DOB {birth_date}", 300, 30, 14),
        Line("institution", "{institution_kanji}", 440, 30, 14),
        Line("technical", "MI {mi}", 640, 4, 14),
        Line("technical", "TIs {tis}", 640, 30, 14),
        Line("technical", "{probe}", 730, 4, 14, CYAN),
        Line("technical", "{preset}", 730, 30, 14, CYAN),
        *_column(748, 96, 17, 12, GREY, "B|Frq {mhz}|Gn {gain}|S/A 2/1|Map F/0|D {depth_cm}|DR {dr}|FR {rate}|AO% 100"),
    ),
    grey_bar=(20, 96, 14, 150),
    ruler_x=724,
    body_mark=(20, 500),
    probes={"liver": ("C1-5-D", 4000, 71001), "breast": ("ML6-15-D", 12000, 71002), "heart": ("M5Sc-D", 2800, 71003)},
)

APLIO = Device(
    key="aplio",
    manufacturer="TOSHIBA_MEC_US",
    model="Aplio 500",
    software="V6.00*R004",
    station="APLIO500",
    rows=600,
    columns=800,
    banner=((0, 0, 800, 40),),
    view=(80, 62, 640, 500),
    fills=(((0, 0, 800, 40), (20, 20, 24)), ((0, 39, 800, 1), (90, 90, 90))),
    lines=(
        Line("institution", "{institution}", 6, 3, 13, GREY),
        Line("patient_id", "{patient_id}", 220, 3, 14),
        Line("name", "{latin}", 310, 3, 14),
        Line("name", "{kanji}", 310, 21, 14),
        Line("birth_date", "{birth_date}", 430, 21, 13),
        Line("institution", "{institution_kanji}", 6, 20, 13, GREY),
        Line("date", "{date}", 612, 3, 13),
        Line("time", "{time}", 715, 3, 13),
        Line("operator", "{operator}", 612, 21, 12, GREY),
        *_column(
            8, 70, 17, 12, AMBER, "{probe}|{preset}|diffT{mhz}|{rate}fps|Qscan|G:{gain}|DR:{dr}|MI:{mi}|TIS:{tis}"
        ),
        Line("technical", "Precision A Pure+", 8, 570, 12, GREY),
    ),
    grey_bar=(20, 300, 12, 128),
    ruler_x=726,
    body_mark=(738, 530),
    probes={
        "liver": ("PVT-375BT", 3500, 52001),
        "breast": ("PLT-1005BT", 10000, 52002),
        "heart": ("PST-30BT", 3000, 52003),
    },
)

EPIQ = Device(
    key="epiq",
    manufacturer="Philips Medical Systems",
    model="EPIQ 7G",
    software="EPIQ 7G_1.8.5.4",
    station="EPIQ7-0032",
    rows=600,
    columns=800,
    banner=((0, 0, 800, 16),),
    view=(104, 66, 610, 500),
    fills=(((0, 0, 800, 16), (46, 62, 92)),),
    lines=(
        Line("name", "{latin}", 4, 0, 11),
        Line("name", "{kanji}", 146, 0, 11),
        Line("patient_id", "{patient_id}", 218, 0, 11),
        Line("birth_date", "{birth_date}", 282, 0, 11),
        Line("institution", "{institution}", 354, 0, 11),
        Line("institution", "{institution_kanji}", 508, 0, 11),
        Line("operator", "{operator}", 588, 0, 10),
        Line("date", "{date}", 680, 0, 11),
        Line("time", "{time}", 750, 0, 11),
        Line("technical", "{probe}", 6, 54, 13, CYAN),
        Line("technical", "{rate}Hz", 6, 72, 12, GREY),
        Line("technical", "{depth_cm}cm", 6, 88, 12, GREY),
        *_column(6, 118, 16, 12, GREY, "2D|HGen|Gn {gain}|{dr}|5/3/2|{mhz} MHz"),
        Line("technical", "TIS{tis}  MI {mi}", 690, 22, 12),
        Line("technical", "{preset}", 6, 22, 12, CYAN),
    ),
    grey_bar=(770, 70, 14, 160),
    ruler_x=718,
    body_mark=(14, 500),
    probes={"liver": ("C5-1", 3200, 33001), "breast": ("eL18-4", 11000, 33002), "heart": ("S5-1", 2600, 33003)},
)

SEQUOIA = Device(
    key="sequoia",
    manufacturer="ACUSON",
    model="SEQUOIA",
    software="9.00",
    station="SEQ512-04",
    rows=480,
    columns=640,
    banner=((0, 0, 640, 30), (553, 30, 87, 16)),
    view=(86, 52, 480, 400),
    fills=(),
    lines=(
        Line("institution", "{institution}", 60, 1, 12),
        Line("name", "{latin}", 250, 1, 12),
        Line("name", "{kanji}", 430, 1, 12),
        Line("operator", "{operator}", 510, 2, 10, GREY),
        Line("patient_id", "{patient_id}", 250, 15, 12),
        Line("birth_date", "{birth_date}", 330, 15, 12),
        Line("institution", "{institution_kanji}", 60, 15, 12),
        Line("date", "{date}", 553, 15, 11),
        Line("time", "{time}", 556, 31, 12),
        *_column(6, 64, 16, 11, GREEN, "{probe}|{preset}|{mhz}MHz|{rate}Hz|{dr}dB|S1/ 0/1/4|Gain {gain}"),
        Line("technical", "MI={mi}  TIS={tis}", 6, 458, 11, GREY),
    ),
    grey_bar=(8, 190, 10, 110),
    ruler_x=572,
    body_mark=(586, 412),
    probes={"liver": ("4C1-S", 4000, 20001), "breast": ("15L8w-S", 14000, 20002), "heart": ("4V1c-S", 2750, 20003)},
)

UNKNOWN = Device(
    key="unknown",
    manufacturer="Hakusan Medical Works",
    model="EchoView 300",
    software="2.4.1",
    station="EV300",
    rows=576,
    columns=768,
    banner=(),
    view=(30, 34, 560, 470),
    fills=(((0, 536, 768, 40), (28, 44, 44)), ((622, 0, 1, 536), (60, 80, 80))),
    lines=(
        Line("name", "{kanji}", 8, 540, 16),
        Line("name", "{latin}", 110, 541, 14),
        Line("patient_id", "No. {patient_id}", 8, 560, 12),
        Line("birth_date", "生年月日 {birth_date}", 110, 559, 12),
        Line("institution", "{institution_kanji}", 320, 540, 14),
        Line("institution", "{institution}", 320, 560, 12),
        Line("date", "{date}", 634, 10, 13),
        Line("time", "{time}", 634, 27, 13),
        Line("operator", "{operator}", 634, 44, 11),
        *_column(
            634,
            80,
            17,
            12,
            GREEN,
            "{probe}|{preset}|F {mhz}M|GAIN {gain}|DR {dr}|{rate} f/s|深さ {depth_cm}cm|MI {mi}|TIS {tis}",
        ),
        Line("technical", "凍結", 8, 8, 13, AMBER),
    ),
    grey_bar=(740, 80, 12, 140),
    ruler_x=598,
    body_mark=(640, 450),
    probes={"liver": ("CV35", 3500, 11), "breast": ("LN12", 12000, 12), "heart": ("PA25", 2500, 13)},
)

DEVICES = {device.key: device for device in (LOGIQ_E9, APLIO, EPIQ, SEQUOIA, UNKNOWN)}
