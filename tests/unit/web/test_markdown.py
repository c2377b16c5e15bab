"""A model card comes from outside: it may be laid out, and may do nothing else."""

import re

from hypothesis import given
from hypothesis import strategies as st

from web.markdown import markdown

CARD = """# breast-detect version 1

Research use only.

- task: detect
- licence: Apache-2.0

| figure | value |
|---|--:|
| f1 | 0.750 |
"""
MARKS = st.sampled_from(
    [*list("<>\"'&[]()!`*_#|-\n\\:"), "\n|-:|\n", "javascript:", "http://x.example", "<img src=x onerror=y>", "a"]
)


def test_headings_lists_and_tables_are_laid_out() -> None:
    found = markdown(CARD)
    assert "<h3>breast-detect version 1</h3>" in found and "<li>task: detect</li>" in found
    assert "<th>figure</th>" in found and '<td class="number">0.750</td>' in found and "style" not in found


def test_headings_stay_below_the_page_s_own() -> None:
    assert re.findall(r"<h(\d)>", markdown("# a\n\n###### b")) == ["3", "6"]


@given(st.lists(MARKS, max_size=30).map("".join))
def test_nothing_in_it_is_a_link_an_image_or_html(text: str) -> None:
    allowed = {"p", "h3", "h4", "h5", "h6", "ul", "ol", "li", "em", "strong", "code", "pre", "blockquote", "hr", "br"}
    allowed |= {"table", "thead", "tbody", "tr", "th", "td"}
    tags = re.findall(r"<(/?)([a-z0-9]+)([^>]*)>", markdown(text))
    assert {name for _, name, _ in tags} <= allowed
    assert all(re.fullmatch(r'( (start|class)="[^"]*")?( /)?', rest) for _, _, rest in tags)
