"""Model cards and reports as HTML. They come from outside, so nothing in them is taken as HTML, as a link or as an image."""

from functools import cache
from typing import Final

from markdown_it import MarkdownIt
from markupsafe import Markup

_BELOW: Final = 2  # a card's first heading stands below the page's and the section's


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    return reader.disable(["link", "image", "autolink", "reference", "html_block", "html_inline"])


def markdown(text: str) -> Markup:
    """CommonMark and tables; headings two levels deeper, h6 at the most; a column that is set right is one of numbers."""
    tokens = _reader().parse(text)
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1]) + _BELOW, 6)}"
        elif token.type == "table_open":
            token.attrs = {"class": "list"}
        elif token.attrs.pop("style", ""):  # the content security policy takes no style of an element
            token.attrs = {"class": "number"}
    return Markup(_reader().renderer.render(tokens, _reader().options, {}))  # noqa: S704 - escaped by the renderer
