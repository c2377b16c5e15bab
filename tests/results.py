"""Written DICOM results, read again as others would: by pydicom, and by dicom3tools' validator."""

import io
import shutil
import subprocess
from pathlib import Path

import httpx2
import pydicom
import pytest
from pydicom.dataset import Dataset

from commands.orthanc import Orthanc


def read_back(made: Dataset) -> Dataset:
    """The object as its file says it."""
    out = io.BytesIO()
    made.save_as(out, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(out.getvalue()))


def stored_at(pacs: Orthanc) -> list[Dataset]:
    """Every object that this Orthanc holds."""
    with httpx2.Client(base_url=pacs.url, trust_env=False) as client:
        names = client.get("/instances").json()
        return [pydicom.dcmread(io.BytesIO(client.get(f"/instances/{name}/file").content)) for name in names]


def errors_of(made: Dataset, folder: Path) -> str:
    """The lines of dciodvfy that speak of an error; skips loudly without it."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("CONFORMANCE NOT TESTED: dciodvfy not installed (apt-get install dicom3tools)")
    made.save_as(folder / "one.dcm", enforce_file_format=True)
    said = subprocess.run(["dciodvfy", folder / "one.dcm"], capture_output=True, text=True, check=False)
    return "\n".join(line for line in (said.stdout + said.stderr).splitlines() if "Error" in line)
