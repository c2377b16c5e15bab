"""Nothing on a page is without its words in both languages, and nothing is written for nobody."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import nodes

from core.models.datasets import VersionState
from core.models.reads import ReadState
from core.models.registry import ModelState
from core.models.sitecase import CaseState
from core.models.training import TrainingState
from core.models.transfer import PackageState
from core.permissions import Verb
from core.settings import Role
from web import texts
from web.nav import MENUS
from web.render import TEMPLATES, environment
from web.states import TONES

WEB = Path(texts.__file__).parent
HEART: Final = {
    "ed", "es", "proposals", "contour", "finish", "copy", "doubt", "remove", "mmode", "take", "ask", "accept", "refuse",
}  # fmt: skip
FAMILIES: Final[dict[str, set[str]]] = {
    "heart.deed_": HEART,
    "heart.short_": HEART,
    "right.": set(Verb),
    "case.": set(CaseState),
    "package.": set(PackageState),
    "version.": set(VersionState),
    "read.": set(ReadState),
    "model.": set(ModelState),
    "run.": set(TrainingState),
    "role.": set(get_args(Role)) - {"relay"},  # the relay has no pages
    "nav.": {name for menu in MENUS.values() for name, _ in menu}
    | {entry.name for menu in MENUS.values() for _, entries in menu for entry in entries},
    "error.": {f"{group}.{part}" for group in (400, 403, 404, 409, 429, 500, 503) for part in ("title", "text")},
}
ALONE: Final = {"error.back", "error.code"}


def templates() -> Iterator[tuple[str, nodes.Template]]:
    for path in sorted(TEMPLATES.rglob("*.html")):
        yield path.relative_to(TEMPLATES).as_posix(), environment().parse(path.read_text("utf-8"))


def constants(tree: nodes.Template) -> set[str]:
    return {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)}


def named_in_templates() -> set[str]:
    """The first argument of each t(…): a key, or the beginning of a family's keys."""
    named = set()
    for _, tree in templates():
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "t":
                first = call.args[0].nodes[0] if isinstance(call.args[0], nodes.Concat) else call.args[0]
                named |= {first.value} if isinstance(first, nodes.Const) else set()
                named |= {c.value for c in call.args[0].find_all(nodes.Const) if "." in str(c.value).strip(".")}
    return named


def written_in_python() -> set[str]:
    found = set()
    for path in WEB.rglob("*.py"):
        if path.name != "texts.py":
            tree = ast.parse(path.read_text("utf-8"))
            found |= {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    return found


JA, EN = texts.catalogue("ja"), texts.catalogue("en")


def test_every_text_is_there_in_both_languages() -> None:
    assert JA.keys() == EN.keys()
    assert [key for words in (JA, EN) for key, forms in words.items() if not all(forms)] == []


def test_both_languages_have_the_same_files() -> None:
    assert [p.name for p in sorted((texts.LOCALE / "ja").iterdir())] == [
        p.name for p in sorted((texts.LOCALE / "en").iterdir())
    ]


def test_places_are_the_same_in_both_languages() -> None:
    place = re.compile(r"{(\w+)}")

    def places(forms: tuple[str, ...]) -> set[str]:
        return {name for form in forms for name in place.findall(form)}

    assert [key for key in JA if places(JA[key]) != places(EN[key])] == []


def test_japanese_texts_are_japanese_and_english_texts_english() -> None:
    kana = re.compile(r"[぀-ヿ一-鿿]")
    latin = re.compile(r"[A-Za-z]")
    wrong = [key for key, forms in JA.items() if latin.search(forms[0]) and not kana.search(forms[0])]
    # Names, units and abbreviations that Japanese writes in Latin letters.
    assert [
        key
        for key in wrong
        if not re.fullmatch(r"[A-Z0-9][\w ./()%-]{0,24}", JA[key][0]) and key != "app.other_language"
    ] == []
    assert [key for key, forms in EN.items() if kana.search("".join(forms)) and key != "app.other_language"] == []


def test_templates_name_only_keys_that_exist() -> None:
    assert {key for key in named_in_templates() if key not in EN and key not in FAMILIES} == set()


@pytest.mark.parametrize("prefix", FAMILIES)
def test_a_family_has_every_member_and_no_other(prefix: str) -> None:
    written = {key.removeprefix(prefix) for key in EN if key.startswith(prefix) and key not in ALONE}
    assert written == FAMILIES[prefix]


def test_every_text_is_used() -> None:
    used = written_in_python() | {value for _, tree in templates() for value in constants(tree)}
    in_families = {key for key in EN if key.startswith(tuple(FAMILIES)) and key not in ALONE}
    assert set(EN) - in_families - used == set()


def test_every_state_has_its_shape() -> None:
    assert set(TONES) == {*CaseState, *PackageState, *ReadState, *VersionState, *ModelState, *TrainingState}


def test_a_key_that_nobody_wrote_is_an_error() -> None:
    with pytest.raises(KeyError):
        texts.text("ja", "home.nowhere")


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        ("", "en"),
        ("ja", "ja"),
        ("ja-JP,ja;q=0.9,en;q=0.8", "ja"),
        ("en-GB,en;q=0.9,ja;q=0.8", "en"),
        ("de, ja;q=0.5, en;q=0.7", "en"),
        ("fr-FR", "en"),
        ("ja;q=0, en;q=0.1", "en"),
        ("ja;q=x, en;q=0.1", "en"),
        ("*", "en"),
    ],
)
def test_the_language_that_the_browser_prefers(header: str, lang: str) -> None:
    assert texts.accepted(header) == lang


@given(st.text(max_size=600))
def test_any_header_gives_a_language(header: str) -> None:
    assert texts.accepted(header) in texts.LANGUAGES
