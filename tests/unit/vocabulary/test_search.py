"""A choice is found by kanji, either kana, Latin letters, English, an abbreviation or its code."""

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from core.vocabulary import codelists
from core.vocabulary.domain import FOLDER, domains, load
from core.vocabulary.schema import Label, Option
from web.assets import FOLDER as STATIC
from web.render import search_words

TESTS = Path(__file__).resolve().parents[2]
VECTORS = TESTS / "vectors" / "choice_search.json"


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What web/static/choice-search.js answers; named .mjs, which every node takes for a module."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: the scripts of the pages run in it")
    module = tmp_path_factory.mktemp("search") / "choice-search.mjs"
    shutil.copy(STATIC / "choice-search.js", module)
    command = ["node", TESTS / "node" / "choice_search.mjs", module, VECTORS]
    found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return found


def test_what_is_typed_finds_its_choice_in_every_writing(ranks: dict[str, Any]) -> None:
    cases = json.loads(VECTORS.read_text("utf-8"))
    wrong = [
        (case["words"], typed, kind, rank)
        for case, found in zip(cases, ranks["found"], strict=True)
        for kind, is_right in (("same", {3}), ("begins", {2, 3}), ("holds", {1, 2, 3}), ("none", {0}))
        for typed, rank in zip(case.get(kind, []), found.get(kind, []), strict=True)
        if rank not in is_right
    ]
    assert wrong == []
    assert ranks["twice"] == [True] * 4


def test_synonyms_are_a_column_of_the_list(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text(
        "code_system\tcode\tenglish\tjapanese\tsynonyms\n99USDB\tA\tOne\t一\tいち| uno |\n99USDB\tB\tTwo\t二\n", "utf-8"
    )
    assert [option.synonyms for option in codelists.read(path)] == [("いち", "uno"), ()]
    option = Option(code="A", label=Label(ja="一", en="One"), synonyms=("いち", "One"))
    assert search_words(option) == "一 | One | A | いち"


@pytest.mark.parametrize("name", ["liver", "breast", "thyroid", "heart"])
def test_every_diagnosis_is_found_by_its_reading_or_an_abbreviation(name: str) -> None:
    lacking = [option.code for option in load(name).options["diagnosis"] if not option.synonyms]
    assert lacking == []


def test_no_synonym_holds_the_sign_between_words() -> None:
    for organ in domains():
        for options in load(organ).options.values():
            assert not [o.code for o in options for word in (*o.synonyms, o.label.ja, o.label.en) if "|" in word]


def test_every_row_of_a_list_has_the_columns_of_its_head() -> None:
    for path in sorted((FOLDER / "lists").glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as lines:
            head, *rows = csv.reader(lines, delimiter="\t")
        assert {len(row) for row in rows} <= {len(head), len(head) - 1}, path.name
