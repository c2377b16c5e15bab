"""Which folders a run accepts, and what it leaves in them."""

from pathlib import Path

import pytest

from core.errors import AppError, BadConfiguration, Conflict, Malformed
from core.folder.places import WORK, Places


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    return tmp_path / "in"


def test_keys_are_made_once_closed_and_kept(tmp_path: Path, source: Path) -> None:
    places = Places.of(source, tmp_path / "out", tmp_path / "keys")
    made = places.open_keys()
    assert places.open_keys() == made
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    files = list((tmp_path / "keys").glob("*.key"))
    assert {file.stat().st_mode & 0o777 for file in files} == {0o400}


@pytest.mark.parametrize(
    ("out", "keys"),
    [
        ("out", "in/keys"), ("out", "out/keys"), ("out", "."), ("out", "in"), ("out", "out"), ("in/out", "keys"),
        (".", "keys"), ("in", "keys"), ("out", "in/deep/../keys"), ("keys/out", "keys"),
    ],
)  # fmt: skip
def test_folders_in_one_another_are_refused(tmp_path: Path, source: Path, out: str, keys: str) -> None:
    with pytest.raises(Malformed, match="in one another"):
        Places.of(source, tmp_path / out, tmp_path / keys)
    assert not (tmp_path / "keys").exists()


def test_a_link_leads_nowhere_else(tmp_path: Path, source: Path) -> None:
    (tmp_path / "link").symlink_to(source / "deep")
    with pytest.raises(BadConfiguration, match="link"):
        Places.of(source, tmp_path / "out", tmp_path / "link")
    (tmp_path / "outside").symlink_to(source)
    with pytest.raises(Malformed, match="in one another"):
        Places.of(source, tmp_path / "outside" / "out", tmp_path / "keys")


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o755, 0o770])
def test_a_key_folder_that_others_can_enter_is_refused(tmp_path: Path, source: Path, mode: int) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys").chmod(mode)
    with pytest.raises(BadConfiguration, match="0700"):
        Places.of(source, tmp_path / "out", tmp_path / "keys")


def test_a_folder_with_other_things_gets_no_keys(tmp_path: Path, source: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o700)
    (tmp_path / "keys" / "letter.txt").write_text("x")
    with pytest.raises(BadConfiguration, match="not empty"):
        Places.of(source, tmp_path / "out", tmp_path / "keys").open_keys()


def test_an_input_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AppError):
        Places.of(tmp_path / "nothing", tmp_path / "out", tmp_path / "keys")


def test_drafts_of_a_killed_run_are_swept_and_one_run_has_a_folder(tmp_path: Path, source: Path) -> None:
    places = Places.of(source, tmp_path / "out", tmp_path / "keys")
    (tmp_path / "out" / WORK).mkdir(parents=True)
    (tmp_path / "out" / WORK / "1.part").write_bytes(b"half")
    with places.occupied():
        assert list(places.work.iterdir()) == []
        with pytest.raises(Conflict), places.occupied():
            pass
    assert list((tmp_path / "out").iterdir()) == []
    with places.occupied():
        pass
