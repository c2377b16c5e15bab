"""The static files are what they say they are, and the colours can be read."""

import base64
import hashlib
import re
from pathlib import Path

import pytest

from web import assets
from web.render import TEMPLATES

CSS = (assets.FOLDER / "tokens.css").read_text("utf-8")
TEXT_COLOURS = ("ink", "ink-2", "accent", "accent-2", "ok", "warn", "stop")


def test_every_vendored_file_is_in_the_lock_and_unchanged() -> None:
    locked = {
        f"{package.folder}/{name}": sha for package in assets.vendored().values() for name, sha in package.files.items()
    }
    there = [path for path in assets.VENDOR.rglob("*") if path.is_file() and path.name != "vendor.lock.json"]
    found = {
        path.relative_to(assets.VENDOR).as_posix(): "sha384-"
        + base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()
        for path in there
    }
    assert found == locked


def test_every_vendored_package_brings_its_licence() -> None:
    for package in assets.vendored().values():
        assert package.licence and package.version in package.folder
        assert "LICENSE" in package.files


def test_an_address_changes_with_the_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "app.css").write_text("a")
    (tmp_path / "app.js").write_text("a")
    monkeypatch.setattr(assets, "FOLDER", tmp_path)
    marks = []
    for content in ("a", "b"):
        (tmp_path / "app.js").write_text(content)
        assets.mark.cache_clear()
        marks.append(assets.asset_url("app.css"))
    monkeypatch.undo()
    assets.mark.cache_clear()
    assert all(re.fullmatch("/static/[0-9a-f]{12}/app.css", one) for one in marks) and marks[0] != marks[1]


def test_a_page_names_every_module_that_its_scripts_import() -> None:
    scripts = sorted(path.name for path in assets.FOLDER.glob("*.js"))
    sources = {name: (assets.FOLDER / name).read_text("utf-8") for name in scripts}
    for name in scripts:
        there = assets.modules([name])
        assert len(there) == len(set(there)) and there[0] == name
        assert {one for each in there for one in re.findall(r'"\./([\w-]+\.js)"', sources[each])} == set(there) - {name}


def tokens(selector: str) -> dict[str, str]:
    block = re.search(re.escape(selector) + r" {(.*?)}", CSS, re.DOTALL)
    assert block
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block.group(1)))


def luminance(colour: str) -> float:
    """Relative luminance of sRGB (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("selector", [":root", ':root[data-theme="dark"]', ':root[data-surface="reading"]'])
def test_text_can_be_read(selector: str) -> None:
    colours = tokens(selector)
    pairs = [(text, paper) for text in TEXT_COLOURS for paper in ("paper", "paper-2")]
    pairs += [("on-accent", "accent"), ("on-accent", "accent-2"), ("on-stop", "stop"), ("ink", "stop-paper")]
    assert [(a, b) for a, b in pairs if contrast(colours[a], colours[b]) < 4.5] == []
    assert all(contrast(colours["focus"], colours[paper]) >= 3 for paper in ("paper", "paper-2"))


def test_colours_are_named_once() -> None:
    below = CSS.partition("*,\n")[2]
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|rgb\(|hsl\(", below) == []


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.name)
def test_no_page_has_inline_script_or_style(path: Path) -> None:
    text = path.read_text("utf-8")
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:|\|\s*safe", text) == []
    assert all("src=" in tag for tag in re.findall(r"<script[^>]*>", text))
