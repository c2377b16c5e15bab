"""Writings that mean the same: variant kanji, kana and romaji, letters that a reader confuses, and dates of every kind."""

import re
import unicodedata
from collections.abc import Iterator
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final

DATA: Final = Path(__file__).parent / "data"

# What the recogniser takes for one another in small bitmap fonts; both sides of a comparison go through this.
_CONFUSED: Final = str.maketrans("oqdiljszgbu", "0001115268v")
_SIGNS: Final = re.compile(r"[^0-9a-z\u3041-\u3096\u30a1-\u30fa\u3005\u3400-\u9fff\uac00-\ud7a3]+")
_HIRAGANA: Final = {code: code + 0x60 for code in range(0x3041, 0x3097)}
_KANA_CONFUSED: Final = str.maketrans(
    "ァィゥェォッャュョヮヵヶ二八力口夕卜工ロ", "アイウエオツヤユヨワカケニハカロタトエロ"
)
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        "jan january januar|feb february|mar march mars|apr april avr|may mai|jun june juin|jul july juil|aug august aout|"
        "sep sept september|oct october okt|nov november|dec december dez".split("|"),
        1,
    )
    for name in names.split()
}
_ERAS: Final = {"m": 1867, "t": 1911, "s": 1925, "h": 1988, "r": 2018,
                "明治": 1867, "大正": 1911, "昭和": 1925, "平成": 1988, "令和": 2018,
                "明": 1867, "大": 1911, "昭": 1925, "平": 1988, "令": 2018}  # fmt: skip
_D: Final = r"[0-9oOlI|]"
_PART: Final = r"\s*[-/.,・年月 ]\s*"
_END: Final = r"(?:(?![\d.])|(?=[0-2]?\d\s?[:：]))"  # the time of day may follow without a space
_YMD: Final = re.compile(rf"(?<![\d.])((?:1[89]|2[0O]|[lI]9)\d\d){_PART}({_D}{{1,2}}){_PART}({_D}{{1,2}}){_END}")
_COMPACT: Final = re.compile(r"(?<!\d)((?:18|19|20)\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?!\d)")
_DMY: Final = re.compile(rf"(?<![\d.])({_D}{{1,2}})\s*[-/.]\s*({_D}{{1,2}})\s*[-/.]\s*(\d{{4}}|\d{{2}}){_END}")
_NAMED: Final = re.compile(r"(?<!\d)(\d{1,2})[-/. ]*([a-z]{3,9})[-/., ]*(\d{4}|\d{2})(?!\d)", re.IGNORECASE)
_NAMED_FIRST: Final = re.compile(r"(?<![a-z])([a-z]{3,9})[-/. ]*(\d{1,2})[-/., ]+(\d{4}|\d{2})(?!\d)", re.IGNORECASE)
_ERA: Final = re.compile(
    r"(明治|大正|昭和|平成|令和|(?<![a-z])[mtshr]|[明大昭平令])\s*[.．]?\s*(元|\d{1,2})\s*[-/.・年 ]\s*"
    r"(\d{1,2})\s*[-/.・月 ]\s*(\d{1,2})(?!\d)",
    re.IGNORECASE,
)
# The last: an era's letter that was read as a digit, such as 515.4.17 for S15.4.17.
_SOME_DATE: Final = re.compile(
    r"\d{1,4}\s*年|\d{1,2}\s*月\s*\d{1,2}\s*日?|(?:昭和|平成|令和|大正|明治)\s*(?:元|\d)"
    r"|(?<![\d.])\d{3}\s*[-/.]\s*(?:0?[1-9]|1[0-2])\s*[-/.]\s*(?:0?[1-9]|[12]\d|3[01])(?![\d.])"
)


def plain(text: str) -> str:
    """NFKC, lower case, Latin letters without accents, one writing of each kanji."""
    letters = "".join(unicodedata.normalize("NFD", one)[0] if one < "\u0250" else one for one in text)
    return unicodedata.normalize("NFKC", letters).casefold().translate(variants())


def key(text: str) -> str:
    """What is compared: plain, without signs and spaces, kana as katakana, confusable letters as one."""
    return _confused(_SIGNS.sub("", plain(text)))


def keys(text: str) -> list[str]:
    """The same for each word of a text, parted at signs and spaces and where the script changes."""
    words = re.findall(r"[0-9a-z]+|[\u3041-\u3096\u30a1-\u30fa\u3005\u3400-\u9fff]+", plain(text))
    return [_confused(word) for word in words]


def _confused(text: str) -> str:
    return text.translate(_HIRAGANA).translate(_KANA_CONFUSED).translate(_CONFUSED)


@cache
def variants() -> dict[int, str]:
    """Variant kanji to the commonest form: the file has one line a family, the commonest first."""
    table: dict[int, str] = {}
    for line in data_lines("kanji_variants.tsv"):
        common, *others = line.split("\t")
        table |= {ord(other): common for other in others}
    return table


def data_lines(name: str) -> list[str]:
    """The lines of a list in the data folder without comments and empty ones."""
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def dates_in(text: str) -> list[date | None]:
    """Every date that a text shows, day first and month first; None for one that is none but looks like it."""
    text = unicodedata.normalize("NFKC", text)
    found: list[date | None] = []
    for year, month, day in [*_YMD.findall(text), *_COMPACT.findall(text)]:
        found.append(_date(_digits(year), _digits(month), _digits(day)))
    for first, second, year in _DMY.findall(text):
        one, two = _digits(first), _digits(second)
        if max(one, two) <= 31 and min(one, two) <= 12:
            found += [_date(full, *order) for full in _years(year) for order in ((one, two), (two, one))]
        elif one > 31 and two <= 12 and _digits(year) <= 31:
            found += [_date(full, two, _digits(year)) for full in _years(f"{one:02}")]
    for day, name, year in [*_NAMED.findall(text), *((d, n, y) for n, d, y in _NAMED_FIRST.findall(text))]:
        if month := _MONTHS.get(name.casefold(), 0):
            found += [_date(full, month, int(day)) for full in _years(year)]
    for era, year, month, day in _ERA.findall(text):
        if int(month) <= 12 and int(day) <= 31:
            found.append(_date(_ERAS[era.casefold()] + (1 if year == "元" else int(year)), int(month), int(day)))
    return found or ([None] if _SOME_DATE.search(text) else [])


def _digits(text: str) -> int:
    return int(text.translate(str.maketrans("oOlI|", "00111")))


def _years(text: str) -> tuple[int, ...]:
    return (int(text),) if len(text) == 4 else (1900 + int(text), 2000 + int(text))


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


_MORAE: Final = {
    **dict(zip("アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲンガギグゲゴザジズゼゾダヂヅデド"
               "バビブベボパピプペポヴ",
               "a i u e o ka ki ku ke ko sa shi su se so ta chi tsu te to na ni nu ne no ha hi fu he ho ma mi mu me mo ya yu yo "
               "ra ri ru re ro wa o n ga gi gu ge go za ji zu ze zo da ji zu de do ba bi bu be bo pa pi pu pe po vu".split(),
               strict=True)),
}  # fmt: skip
_KUNREI: Final = (("sh", "sy"), ("ch", "ty"), ("tsu", "tu"), ("fu", "hu"), ("j", "zy"))


def romaji(kana: str) -> Iterator[str]:
    """Latin writings of kana, Hepburn and Kunrei, long vowels written out, left out and with h."""
    text = unicodedata.normalize("NFKC", kana).translate(_HIRAGANA)
    if not text or not all("ァ" <= letter <= "ー" for letter in text):
        return
    hepburn = _hepburn(text)
    kunrei = hepburn
    for one, other in _KUNREI:
        kunrei = kunrei.replace(one, other)
    kunrei = kunrei.replace("yi", "i")
    for written in (hepburn, kunrei, re.sub("n(?=[bpm])", "m", hepburn)):
        yield written
        yield re.sub(r"ou|oo", "o", written).replace("uu", "u")
        yield re.sub(r"ou|oo", "oh", written)


def _hepburn(text: str) -> str:
    out = ""
    for number, letter in enumerate(text):
        following = _MORAE.get(text[number + 1], "") if number + 1 < len(text) else ""
        if letter in "ャュョ" and out:
            stem = out[:-1]
            out = stem + ("" if stem.endswith(("sh", "ch", "j")) else "y") + {"ャ": "a", "ュ": "u", "ョ": "o"}[letter]
        elif letter in "ァィゥェォ" and out:
            out = out[:-1] + {"ァ": "a", "ィ": "i", "ゥ": "u", "ェ": "e", "ォ": "o"}[letter]
        elif letter == "ッ":
            out += "t" if following.startswith("ch") else following[:1]
        elif letter == "ー":
            out += out[-1:]
        else:
            out += _MORAE.get(letter, "")
    return out
