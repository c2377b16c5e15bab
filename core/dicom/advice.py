"""What can be done about images that are not decoded here, by transfer syntax; each a sentence for the person who has one."""

from typing import Final

_VIDEO: Final = "MPEG-2 and HEVC video cannot be masked here: have the device or the PACS send it as a JPEG cine."
_H264: Final = "H.264 video cannot be masked here: have the device or the PACS send it as a JPEG cine."
_STEREO: Final = "Stereoscopic video cannot be masked here: have the device or the PACS send it as a JPEG cine."
_HTJ2K: Final = "Images in HTJ2K cannot be masked here: have the PACS send them as JPEG 2000 or uncompressed."
JPEG_XL: Final = "Images in JPEG XL cannot be masked here: have the PACS send them as JPEG or uncompressed."
TWELVE_BITS: Final = "JPEG images with 12 bits cannot be decoded here: have the PACS send them uncompressed."
_OTHER: Final = "Images in this transfer syntax cannot be masked."
_BY_SYNTAX: Final = {
    **{f"1.2.840.10008.1.2.4.{last}": _VIDEO for last in (100, 101, 107, 108)},
    **{f"1.2.840.10008.1.2.4.{last}": _H264 for last in (102, 103, 104)},
    **{f"1.2.840.10008.1.2.4.{last}": _STEREO for last in (105, 106)},
    **{f"1.2.840.10008.1.2.4.{last}": _HTJ2K for last in (201, 202, 203)},
    **{f"1.2.840.10008.1.2.4.{last}": JPEG_XL for last in (110, 111, 112)},
}


def advice(transfer_syntax: str) -> str:
    """Why an image of this syntax goes no further, and what to do."""
    return _BY_SYNTAX.get(transfer_syntax.removesuffix(".1"), _OTHER)
