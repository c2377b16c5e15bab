"""Walks the pages of a node as one person: every link that is shown, every fragment that a page asks for."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2

MOST_PAGES: Final = 250
_VOID: Final = frozenset("area base br col embed hr img input link meta source track wbr".split())
_FOREIGN: Final = frozenset({"code", "kbd", "pre", "samp", "script", "style", "option"})
_SENTENCE: Final = re.compile(r"(?:[A-Za-z][a-z']+[ ,]+){3,}[A-Za-z][a-z']+")


class Reader(HTMLParser):
    """The links, the fragments and the text of one page; text in another language or in code is left out."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fragments: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.lang = ""
        self._open: list[tuple[str, bool, str | None]] = []  # tag, another language, the hx-target that it hands down

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.lang = given.get("lang", "")
        if tag == "a" and "href" in given and "download" not in given:
            self.links.append(given["href"])
        if "hx-get" in given:
            target = given.get("hx-target") or (self._open[-1][2] if self._open else None) or "this"
            own = given.get("id", "")
            self.fragments.append((given["hx-get"], own if target == "this" else target.lstrip("#")))
        if tag not in _VOID:
            foreign = tag in _FOREIGN or given.get("lang", self.lang) != self.lang or "data-name" in given
            above = self._open[-1] if self._open else ("", False, None)
            self._open.append((tag, foreign or above[1], given.get("hx-target", above[2])))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not (self._open and self._open[-1][1]):
            self.text.append(data)

    def english_sentences(self) -> list[str]:
        return [match[0] for piece in self.text for match in _SENTENCE.finditer(piece)]


@dataclass
class Seen:
    """One answer to one GET of a walk."""

    url: str
    status: int
    headers: str
    body: str
    reader: Reader = field(repr=False)

    @property
    def is_page(self) -> bool:
        return self.body.lstrip()[:15].lower() == "<!doctype html>"


def look(client: httpx2.Client, url: str, **headers: str) -> Seen:
    answer = client.get(url, headers=headers)
    is_html = "text/html" in answer.headers.get("content-type", "")
    reader, body = Reader(), answer.text if is_html else ""
    reader.feed(body)
    return Seen(url, answer.status_code, str(list(answer.headers.multi_items())), body, reader)


def walk(client: httpx2.Client, start: str = "/") -> Iterator[Seen]:
    """Every page that links lead to, each address once; what is only another language or theme of it is not another page."""
    waiting, known = deque([start]), {_same(start)}
    for _ in range(MOST_PAGES):
        if not waiting:
            return
        url = waiting.popleft()
        seen = look(client, url)
        yield seen
        for link in [*seen.reader.links, *(href for href, _ in seen.reader.fragments)]:
            target = str(httpx2.URL(url).join(link)) if link.startswith("?") else link
            if target.startswith("/") and not target.startswith("//") and (same := _same(target)) not in known:
                known.add(same)
                waiting.append(target)


def _same(url: str) -> str:
    parts = urlsplit(url)
    query = sorted(pair for pair in parse_qsl(parts.query) if pair[0] not in {"lang", "theme", "after", "page", "sort"})
    return f"{parts.path}?{urlencode(query)}"
