"""What the documents promise is there: verbs, settings, links, numbered decisions; and skips are judged as written."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from commands.main import SCRIPT_VERBS, VERBS
from core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_are_verbs(document: Path) -> None:
    named = re.findall(r"\./run[ \t]+([a-z][a-z-]*)", document.read_text())
    assert set(named) <= {*VERBS, *SCRIPT_VERBS, "help"}


def test_the_readme_names_every_verb() -> None:
    text = (ROOT / "README.md").read_text()
    assert [verb for verb in (*VERBS, *SCRIPT_VERBS) if f"./run {verb}" not in text] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_its_module(verb: str) -> None:
    assert importlib.util.find_spec(VERBS[verb].module), VERBS[verb].module


def test_help_is_quick_and_lists_every_verb() -> None:
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "commands.main", "help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [verb for verb in (*VERBS, *SCRIPT_VERBS) if f"  {verb} " not in shown.stdout] == []
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in shown.stderr.splitlines()}
    assert not loaded & {"fastapi", "sqlalchemy", "pydicom", "numpy"}


def test_the_example_environment_is_the_settings() -> None:
    text = (ROOT / ".env.example").read_text()
    named = re.findall(r"^#? ?SONOBANK_([A-Z_]+)=", text, re.MULTILINE)
    assert sorted(named) == sorted(name.upper() for name in Settings.model_fields)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_script_is_sound_bash() -> None:
    for script in (ROOT / "run", ROOT / ".ci" / "run"):
        assert script.stat().st_mode & 0o111
        subprocess.run(["bash", "-n", str(script)], check=True)


def test_every_picture_of_a_page_is_whole() -> None:
    for path in sorted((ROOT / "docs" / "screens").glob("*.png")):
        with Image.open(path) as picture:
            picture.load()
            assert picture.width in (1440, 1024), path.name
