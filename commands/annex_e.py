"""Makes the table of attributes to de-identify from NEMA's part15.xml (PS3.15 in DocBook), table E.1-1."""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, NoReturn
from xml.parsers import expat

import typer

from commands.main import given_path
from core.deid.profile import TABLE, annex_e_file
from core.errors import Conflict, Malformed

MOST_BYTES: Final = 64 << 20
LABEL: Final = "E.1-1"
# Heading of the column without blanks and full stops -> our name; "Rtn. Long. Full Dates Opt." and the like.
COLUMNS: Final = {
    "attributename": "name", "tag": "tag", "instdcompiod": "stdCompIOD", "basicprof": "basicProfile",
    "rtnsafeprivopt": "rtnSafePrivOpt", "rtnuidsopt": "rtnUIDsOpt", "rtndevidopt": "rtnDevIdOpt",
    "rtninstidopt": "rtnInstIdOpt", "rtnpatcharsopt": "rtnPatCharsOpt", "rtnlongfulldatesopt": "rtnLongFullDatesOpt",
    "rtnlongmodifdatesopt": "rtnLongModifDatesOpt", "cleandescopt": "cleanDescOpt",
    "cleanstructcontopt": "cleanStructContOpt", "cleangraphopt": "cleanGraphOpt",
}  # fmt: skip
_ORDER: Final = ("name", "tag", "stdCompIOD", "basicProfile", "rtnUIDsOpt", "rtnDevIdOpt", "rtnInstIdOpt",
                 "rtnPatCharsOpt", "rtnLongFullDatesOpt", "rtnLongModifDatesOpt", "cleanDescOpt", "cleanStructContOpt",
                 "cleanGraphOpt", "rtnSafePrivOpt")  # fmt: skip
_XML_ID: Final = "http://www.w3.org/XML/1998/namespace id"
_EDITION: Final = re.compile(r"PS3\.15\s+(20\d\d[a-e])")
_TAG: Final = re.compile(r"\([0-9A-FX]{4},[0-9A-FX]{4}\)|\(GGGG,EEEE\) WHERE GGGG IS ODD")
_LETTERS: Final = re.compile(r"[XZDUKC](/[XZDUKC])*\*?")


def annex_e(
    source: Annotated[Path, typer.Argument(metavar="PART15_XML", help="PS3.15 in DocBook, from the standard's site")],
    target: Annotated[Path, typer.Argument(metavar="OUT_JSON", help="a new file; none is overwritten")],
) -> None:
    """Turn table E.1-1 of PART15_XML into OUT_JSON and say how it differs from the table in use."""
    source, target = given_path(source), given_path(target)
    if not source.is_file():
        raise Malformed("There is no such file to read.")
    with source.open("rb") as fp:
        edition, rows = read_table(fp)
    try:
        with target.open("x", encoding="utf-8") as out:
            json.dump(rows, out, indent=4, ensure_ascii=False)
            out.write("\n")
    except FileExistsError:
        raise Conflict("That file exists already; nothing was written.") from None
    print(f"edition {edition or 'not named in the file'}: {len(rows)} rows written to {target.name}")
    for line in _counted(rows):
        print(line)
    for line in compared(json.loads(annex_e_file().read_text(encoding="utf-8")), rows):
        print(line)


def read_table(fp: BinaryIO) -> tuple[str, list[dict[str, str]]]:
    """(edition such as 2024b or empty, the rows in the order of the document, in our JSON format).

    The file comes from outside: a document type, entities and anything beyond 64 MiB are refused with Malformed, as is
    a table that lacks a column, names a tag twice or holds letters that are no action."""
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _refuse
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    read = 0
    try:
        while piece := fp.read(1 << 20):
            read += len(piece)
            if read > MOST_BYTES:
                raise Malformed("The file is larger than 64 MiB.")
            parser.Parse(piece, False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise Malformed("The file is not well-formed XML.") from error
    return reader.edition, _rows(reader.lines)


def _refuse(*_: object) -> NoReturn:
    raise Malformed("The file declares a document type or entities, which are not read.")


@dataclass
class _Reader:
    """Collects the cells of one table, and the edition from the document's subtitle."""

    edition: str = ""
    lines: list[list[str]] = field(default_factory=list)
    _path: list[str] = field(default_factory=list)
    _table: int = 0
    _cell: list[str] | None = None
    _title: list[str] | None = None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(" ")[2]
        self._path.append(name)
        is_wanted = attributes.get("label") == LABEL or attributes.get(_XML_ID) == f"table_{LABEL}"
        if name == "table" and (is_wanted or self._table):
            self._table += 1
        elif name in {"title", "subtitle"} and not self.edition:
            self._title = []
        elif self._table == 1 and name == "tr":
            self.lines.append([])
        elif self._table == 1 and name in {"th", "td"} and self.lines:
            self._cell = []
            if {attributes.get("colspan", "1"), attributes.get("rowspan", "1")} != {"1"}:
                raise Malformed("A cell of table E.1-1 spans several rows or columns.")

    def text(self, text: str) -> None:
        for kept in (self._cell, self._title):
            if kept is not None:
                kept.append(text)

    def end(self, name: str) -> None:
        name = name.rpartition(" ")[2]
        self._path.pop()
        if name == "table" and self._table:
            self._table -= 1
        elif name in {"title", "subtitle"} and self._title is not None:
            found = _EDITION.search("".join(self._title))
            self.edition, self._title = found[1] if found else "", None
        elif name in {"th", "td"} and self._cell is not None:
            self.lines[-1].append(" ".join("".join(self._cell).replace("\u200b", "").split()))
            self._cell = None


def _rows(lines: list[list[str]]) -> list[dict[str, str]]:
    if not lines:
        raise Malformed("The file has no table E.1-1.")
    heading = [COLUMNS.get(re.sub(r"\(.*?\)|[^a-z]", "", cell.lower())) for cell in lines[0]]
    rows: list[dict[str, str]] = []
    if missing := sorted(set(COLUMNS.values()) - set(heading)):
        raise Malformed(f"Table E.1-1 has no column for: {', '.join(missing)}.")
    for line in lines[1:]:
        if len(line) != len(heading):
            raise Malformed(f"Row {len(rows) + 1} of table E.1-1 has another number of cells than its heading.")
        rows.append(_row({name: cell for name, cell in zip(heading, line, strict=True) if name}))
    twice = [tag for tag, count in Counter(row["tag"] for row in rows).items() if count > 1]
    if twice or not rows:
        raise Malformed(f"Table E.1-1 names tags twice, or none at all: {', '.join(twice)}.")
    return rows


def _row(cells: dict[str, str]) -> dict[str, str]:
    """As the shipped table has it: options only where they hold a letter, and an `id` without punctuation."""
    row = {name: cells[name] for name in _ORDER if cells[name]}
    row["tag"] = cells["tag"].upper()
    actions = [value for name, value in row.items() if name not in {"name", "tag", "stdCompIOD"}]
    if not _TAG.fullmatch(row["tag"]) or "basicProfile" not in row or not all(map(_LETTERS.fullmatch, actions)):
        raise Malformed(f"A row of table E.1-1 cannot be understood: {cells['name'][:64]}.")
    row["id"] = re.sub(r"[(),]", "", row["tag"].lower()).replace(" ", "-")
    return row


def _counted(rows: list[dict[str, str]]) -> list[str]:
    basic = Counter(row["basicProfile"] for row in rows)
    options = Counter(name for row in rows for name in _ORDER[4:] if name in row)
    return [
        "basic profile: " + ", ".join(f"{letters} {count}" for letters, count in basic.most_common()),
        "options: " + ", ".join(f"{name} {count}" for name, count in options.most_common()),
    ]


def compared(old: list[dict[str, Any]], new: list[dict[str, str]]) -> list[str]:
    """What a person should read before the new table is used: rows that came, went, or ask for something else."""
    before, after = ({row["tag"]: row for row in rows} for rows in (old, new))
    lines = [f"new: {tag} {after[tag]['name']} {after[tag]['basicProfile']}" for tag in after if tag not in before]
    lines += [f"gone: {tag} {before[tag]['name']}" for tag in before if tag not in after]
    for tag in [tag for tag in after if tag in before]:
        differing = [name for name in _ORDER[3:] if before[tag].get(name) != after[tag].get(name)]
        lines += [f"changed: {tag} {name} {before[tag].get(name)} -> {after[tag].get(name)}" for name in differing]
    return lines or [f"the same rows and actions as {TABLE}"]
