"""The code lists: tab separated files with code system, code, the words in English and Japanese, and their synonyms."""

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from core.errors import BadConfiguration
from core.vocabulary.schema import FieldSpec, Label, ListChoice, Option


@cache
def read(path: Path) -> tuple[Option, ...]:
    """All rows of one list, in the order of the file."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    return tuple(
        Option(
            code=row["code"],
            system=row["code_system"],
            label=Label(ja=row["japanese"], en=row["english"]),
            synonyms=tuple(filter(None, (word.strip() for word in (row.get("synonyms") or "").split("|")))),
        )
        for row in rows
    )


def options_of(field: FieldSpec, folders: Sequence[Path]) -> tuple[Option, ...]:
    """The choices of a coded field; raises BadConfiguration when a list or code is missing or a code stands twice."""
    chosen = field.options if field.list is None else _choose(field.list, folders)
    codes = [option.code for option in chosen]
    if not codes or len(set(codes)) != len(codes):
        raise BadConfiguration(f"The choices of the field {field.code} are empty or hold a code twice.")
    return chosen


def _choose(choice: ListChoice, folders: Sequence[Path]) -> tuple[Option, ...]:
    paths = [folder / f"{choice.name}.tsv" for folder in folders]
    path = next((p for p in paths if p.is_file()), None)
    if path is None:
        raise BadConfiguration(f"The code list {choice.name} is missing.")
    rows = [o for o in read(path) if choice.system in (None, o.system) and o.code.startswith(choice.prefix)]
    known = {option.code for option in rows}
    if not {*(choice.include or ()), *choice.exclude} <= known:
        raise BadConfiguration(f"The code list {choice.name} lacks a code that a field names.")
    if choice.include is not None:
        rows = [option for code in choice.include for option in rows if option.code == code]
    return tuple(option for option in rows if option.code not in choice.exclude)
