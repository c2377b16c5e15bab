"""A QR code as SVG inside the page: no other address has to be asked for it, and none can keep it."""

import segno
from markupsafe import Markup


def qr(words: str) -> Markup:
    """Black on white in every theme, with the quiet zone around it: cameras need both."""
    drawn = segno.make(words, error="m", micro=False).svg_inline(omitsize=True, border=4, dark="#000", light="#fff")
    return Markup(drawn.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1))  # noqa: S704 - drawn here
