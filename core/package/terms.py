"""The words of the contract: what a code, a unit, a number and a device's token may look like; none has room for a sentence."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from core.package.canonical import Strict

# Defined terms of Transducer Type (0018,6031), PS3.3 C.8.5.6, that a code without spaces cannot spell.
_SPACED = "CURVED LINEAR|IV_ROT MIRROR|IV_ROT XTAL|SINGLE CRYSTAL|SPLIT XTAL CWD"
# UCUM built from known atoms, so that a unit cannot carry words.
_ATOM = (
    r"(?:10\*[0-9]|[kcdmunpMG]?(?:m|g|L|l|s|Hz|W|V|Pa|U|mol|eq)"
    r"|m?m\[Hg\]|m?\[[iI]U\]|mAU|dB|%|deg|min|h|d|wk|mo|a|1)"
)


def _no_number_of_a_person(value: str) -> str:
    if re.search(r"[0-9]{6}|[0-9]{4}[-./_ ][0-9]{1,2}[-./_ ][0-9]{1,2}|[0-9]{1,2}[-/][0-9]{1,2}[-/][0-9]{2}", value):
        raise ValueError("a device's token carries neither a date nor a number of six digits or more")
    return value


def _fits_128_bits(value: str) -> str:
    if int(value[5:]) >= 2**128:
        raise ValueError("a UID under 2.25 holds 128 bits at the most")
    return value


Uid = Annotated[str, StringConstraints(pattern=r"^2\.25\.(0|[1-9][0-9]{0,38})$"), AfterValidator(_fits_128_bits)]
SopClass = Annotated[str, StringConstraints(pattern=r"^1\.2\.840\.10008\.5\.1\.4\.1\.1(\.(0|[1-9][0-9]{0,4})){1,4}$")]
TransferSyntax = Annotated[str, StringConstraints(pattern=r"^1\.2\.840\.10008\.1\.2(\.(0|[1-9][0-9]{0,4})){0,3}$")]
Code = Annotated[str, StringConstraints(pattern=rf"^(?:[A-Za-z0-9][A-Za-z0-9_.:/+-]{{0,31}}|{_SPACED})$")]
FieldCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
DomainCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Unit = Annotated[
    str, StringConstraints(pattern=rf"^{_ATOM}(?:-?[1-4])?(?:[./]{_ATOM}(?:-?[1-4])?){{0,3}}$", max_length=24)
]
RuleId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:/+-]{0,127}$")]
RuleVersion = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:+-]{0,63}$")]
Token = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._,/+()-]{0,63}$"), AfterValidator(_no_number_of_a_person)
]
Source = Annotated[str, StringConstraints(pattern=r"^(?:\([0-9A-Fa-f]{4},[0-9A-Fa-f]{4}\)|manual|derived|model)$")]
# Seven digits at the most: an answer cannot hold a date as YYYYMMDD.
Whole = Annotated[int, Field(ge=-9_999_999, le=9_999_999)]
Real = Annotated[float, Field(gt=-10_000_000, lt=10_000_000)]
Offset = Annotated[int, Field(ge=0, le=65_535)]
Extent = Annotated[int, Field(ge=1, le=65_535)]
Photometric = Literal[
    "MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422",
    "YBR_PARTIAL_420", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT",
]  # fmt: skip
ReaderClass = Literal["specialist", "sonographer", "trainee", "other"]


class Point(Strict):
    x: Real
    y: Real
