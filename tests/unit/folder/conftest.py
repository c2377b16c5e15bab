"""What the tests of folders share: keys, a linkage, and what a file says of its patient."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.dicom.facts import InstanceIdentity
from core.folder.linkage import Linkage
from core.vault.keys import Keys, create_keys


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return create_keys(tmp_path_factory.mktemp("site") / "keys")


@pytest.fixture
def linkage(tmp_path: Path, keys: Keys) -> Iterator[Linkage]:
    made = Linkage(tmp_path, keys)
    yield made
    made.close()


@pytest.fixture
def identity() -> Callable[..., InstanceIdentity]:
    def make(patient_id: str | None = "70012345", **fields: object) -> InstanceIdentity:
        given = {"patient_name": ("Yamada^Hanako",), "study_uid": "1.2.3", "study_date": "20190506"} | fields
        return InstanceIdentity(patient_id=patient_id, **given)  # type: ignore[arg-type]

    return make
