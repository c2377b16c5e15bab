"""The key folder: made whole, never overwritten, refused when others could read it or the data lies beside it."""

import json
import os
import stat
from pathlib import Path

import pytest

from core.errors import BadConfiguration
from core.vault.keys import Keys, add_key, create_keys, is_demo, load_keys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_keys(tmp_path / "keys")
    return tmp_path / "keys"


def load(folder: Path) -> Keys:
    return load_keys(folder, folder.parent / "data")


def rewrite(path: Path, **changes: object) -> None:
    record = json.loads(path.read_text()) | changes
    path.unlink()
    path.write_text(json.dumps(record))
    path.chmod(0o400)


def test_keys_come_back_as_they_were_made(tmp_path: Path) -> None:
    made = create_keys(tmp_path / "a" / "keys")
    assert load_keys(tmp_path / "a" / "keys", tmp_path / "data") == made
    assert len({key.secret for key in (*made.seal, made.index, *made.uids, *made.sign)}) == 4
    assert len({key.id for key in (*made.seal, made.index, *made.uids, *made.sign)}) == 4
    assert stat.S_IMODE((tmp_path / "a" / "keys").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a" / "keys").iterdir()} == {0o400}
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["keys"]
    assert made.signer_id == made.sign[0].id.hex()
    made.signer().public_key().verify(made.signer().sign(b"x"), b"x")


def test_a_repr_shows_no_secret(folder: Path) -> None:
    keys = load(folder)
    assert repr(keys.index.secret) not in repr(keys)
    assert keys.index.secret.hex() not in repr(keys)


def test_keys_are_never_overwritten(folder: Path, tmp_path: Path) -> None:
    before = load(folder)
    with pytest.raises(BadConfiguration, match="never overwritten"):
        create_keys(folder)
    assert load(folder) == before
    (tmp_path / "empty").mkdir()
    create_keys(tmp_path / "empty")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadConfiguration):
        create_keys(tmp_path / "file")


def test_demo_keys_are_known_as_such(tmp_path: Path, folder: Path) -> None:
    create_keys(tmp_path / "demo", demo=True)
    assert is_demo(load_keys(tmp_path / "demo", tmp_path / "data"))
    assert not is_demo(load(folder))
    assert add_key(tmp_path / "demo", "seal").demo


@pytest.mark.parametrize("data", ["keys", ".", "keys/data", "link"])
def test_keys_and_data_must_not_lie_in_one_another(folder: Path, data: str) -> None:
    (folder.parent / "link").symlink_to(folder.parent)
    with pytest.raises(BadConfiguration, match="SONOBANK_KEYS_DIR"):
        load_keys(folder, folder.parent / data)


def test_a_newer_key_comes_last(folder: Path) -> None:
    old = load(folder)
    new = add_key(folder, "seal")
    assert load(folder).seal == (*old.seal, new)
    assert new.number == 2
    assert load(folder).sign == old.sign


@pytest.mark.parametrize("mode", [0o600, 0o440, 0o444, 0o000])
def test_a_key_file_that_others_could_read_or_change_is_refused(folder: Path, mode: int) -> None:
    (folder / "seal-0001.key").chmod(mode)
    with pytest.raises(BadConfiguration, match=r"chmod 0400|cannot be opened"):
        load(folder)


def test_an_open_folder_is_refused(folder: Path) -> None:
    folder.chmod(0o755)
    with pytest.raises(BadConfiguration, match="chmod 0700"):
        load(folder)


@pytest.mark.parametrize("what", ["folder", "file"])
def test_keys_of_another_user_are_refused(folder: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if what == "folder":
        monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    elif os.getuid() == 0:
        os.chown(folder / "index-0001.key", 1000, 1000)
    else:
        replies = iter([os.getuid(), os.getuid() + 1])
        monkeypatch.setattr(os, "geteuid", lambda: next(replies))
    with pytest.raises(BadConfiguration, match="chown"):
        load(folder)


def test_a_link_is_no_key_file(folder: Path) -> None:
    (folder / "seal-0001.key").rename(folder / "aside")
    (folder / "seal-0001.key").symlink_to(folder / "aside")
    with pytest.raises(BadConfiguration, match="no link"):
        load(folder)


def test_missing_and_damaged_keys_are_named(folder: Path, tmp_path: Path) -> None:
    rewrite(folder / "uids-0001.key", id="00" * 8)
    with pytest.raises(BadConfiguration, match=r"uids-0001\.key is damaged"):
        load(folder)
    (folder / "uids-0001.key").unlink()
    with pytest.raises(BadConfiguration, match="missing: uids"):
        load(folder)
    with pytest.raises(BadConfiguration, match="no uids key"):
        add_key(folder, "uids")
    with pytest.raises(BadConfiguration, match="no key folder"):
        load(tmp_path / "none")


@pytest.mark.parametrize(
    "changes",
    [{"secret": "AAAA"}, {"secret": 5}, {"kind": "sign"}, {"format": "other"}, {"kind": "odd"}, {"secret": "*"}],
)
def test_a_changed_key_file_is_damaged(folder: Path, changes: dict[str, object]) -> None:
    rewrite(folder / "seal-0001.key", **changes)
    with pytest.raises(BadConfiguration, match="damaged"):
        load(folder)


def test_there_is_one_index_key_only(folder: Path, tmp_path: Path) -> None:
    create_keys(tmp_path / "other")
    (tmp_path / "other" / "index-0001.key").rename(folder / "index-0002.key")
    with pytest.raises(BadConfiguration, match="one index key"):
        load(folder)
