"""Small DICOM files made in memory, and the way to the real ones."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"

MakeFile = Callable[..., bytes]


@pytest.fixture(scope="session")
def data_folder() -> Path:
    if not DATA.is_dir():
        pytest.skip("../shared/data is absent: real files are not tested")
    return DATA


def _image(pixels: np.ndarray | None = None, **values: object) -> FileDataset:
    """A little ultrasound image; `values` override or (None) remove attributes."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID = meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.6.1")
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "1.2.3", "1.2.3.1", "US"
    ds.PatientName, ds.PatientID = "Doe^Jane", "P-1"
    if pixels is not None:
        ds.Rows, ds.Columns = pixels.shape[:2]
        ds.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
        ds.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
        if pixels.ndim == 3:
            ds.PlanarConfiguration = 0
        ds.BitsAllocated = ds.BitsStored = 8 * pixels.itemsize
        ds.HighBit = ds.BitsStored - 1
        ds.PixelRepresentation = int(pixels.dtype.kind == "i")
        data = pixels.tobytes()
        ds.add_new(0x7FE00010, "OW" if pixels.itemsize == 2 else "OB", data + b"\0" * (len(data) % 2))
    for keyword, value in values.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    return ds


def _written(ds: Dataset, *, implicit_vr: bool | None = None, little_endian: bool | None = None) -> bytes:
    out = BytesIO()
    dcmwrite(out, ds, enforce_file_format=True, implicit_vr=implicit_vr, little_endian=little_endian)
    return out.getvalue()


@pytest.fixture(scope="session")
def make_image() -> Callable[..., FileDataset]:
    return _image


@pytest.fixture(scope="session")
def written() -> Callable[..., bytes]:
    return _written
