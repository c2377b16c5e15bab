"""Generated screens as DICOM: the header an identified console file carries, and five ways to store its pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

from ml.phantom_cine import Box
from ml.phantom_devices import Device
from ml.phantom_people import Patient

Picture = NDArray[np.uint8]
IMPLEMENTATION_UID = "2.25.181413218463735214106720319416514103872"
JPEG_QUALITY = 90


@dataclass(frozen=True)
class Exam:
    """One examination: who, when, where, on what; `settings` are the values of its screen."""

    patient: Patient
    device: Device
    domain: str
    study_uid: str
    series_uid: str
    accession: str
    started: datetime
    institution: tuple[str, str]
    operator: str
    utf8: bool
    settings: dict[str, float]

    def uid(self, *parts: object) -> str:
        """A UID that depends on nothing but this study and `parts`."""
        return str(generate_uid(entropy_srcs=[self.study_uid, *map(str, parts)]))


def dataset(exam: Exam, number: int, region: Box, face_px: tuple[float, float], mm_per_px: float) -> Dataset:
    """The header of picture `number`; `region` is its ultrasound region, `face_px` the probe's face, both in pixels."""
    ds = Dataset()
    # pydicom writes the escapes of ISO 2022 between the groups and values (PS3.5 6.1.2.5).
    ds.SpecificCharacterSet = "ISO_IR 192" if exam.utf8 else ["", "ISO 2022 IR 87"]
    _patient(ds, exam)
    _study(ds, exam, number)
    _equipment(ds, exam)
    _acquisition(ds, exam)
    ds.SequenceOfUltrasoundRegions = DicomSequence([_region(exam, region, face_px, mm_per_px)])
    ds.BurnedInAnnotation = "YES"
    ds.UltrasoundColorDataPresent = 0
    _private(ds, exam)
    return ds


def _patient(ds: Dataset, exam: Exam) -> None:
    patient = exam.patient
    ds.PatientName = patient.person_name()
    ds.PatientID = patient.patient_id
    ds.IssuerOfPatientID = exam.institution[0]
    ds.PatientBirthDate = f"{patient.birth_date:%Y%m%d}"
    ds.PatientSex = patient.sex
    ds.PatientAge = f"{patient.age_on(exam.started.date()):03d}Y"
    ds.PatientSize = f"{patient.height_m:.2f}"
    ds.PatientWeight = f"{patient.weight_kg:.1f}"
    ds.OtherPatientIDs = ["K" + patient.patient_id, patient.patient_id.lstrip("0")]
    other = Dataset()
    other.PatientID = "K" + patient.patient_id
    other.TypeOfPatientID = "TEXT"
    ds.OtherPatientIDsSequence = DicomSequence([other])
    ds.PatientComments = f"{patient.kanji} 様"


def _study(ds: Dataset, exam: Exam, number: int) -> None:
    taken = exam.started + timedelta(seconds=47 * number)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = exam.study_uid, exam.series_uid
    ds.SOPInstanceUID = exam.uid("instance", number)
    ds.StudyDate = ds.SeriesDate = f"{exam.started:%Y%m%d}"
    ds.StudyTime = ds.SeriesTime = f"{exam.started:%H%M%S}"
    ds.ContentDate = ds.AcquisitionDate = f"{taken:%Y%m%d}"
    ds.ContentTime = ds.AcquisitionTime = f"{taken:%H%M%S}"
    ds.AcquisitionDateTime = f"{taken:%Y%m%d%H%M%S}+0900"
    ds.AccessionNumber = exam.accession
    ds.StudyID = exam.accession[-6:]
    ds.SeriesNumber, ds.InstanceNumber = 1, number
    ds.Modality = "US"
    organ = {"liver": "US Abdomen", "breast": "US Breast", "heart": "US Heart"}[exam.domain]
    ds.StudyDescription = f"{organ} {exam.patient.latin}"
    ds.SeriesDescription = organ
    ds.BodyPartExamined = {"liver": "LIVER", "breast": "BREAST", "heart": "HEART"}[exam.domain]
    ds.ReferringPhysicianName = exam.operator
    ds.OperatorsName = exam.operator
    ds.PatientOrientation = ""
    request = Dataset()
    request.ScheduledProcedureStepID = exam.accession
    request.RequestedProcedureDescription = f"{exam.patient.kanji} {organ}"
    request.RequestedProcedureID = exam.accession
    ds.RequestAttributesSequence = DicomSequence([request])


def _equipment(ds: Dataset, exam: Exam) -> None:
    device = exam.device
    ds.Manufacturer, ds.ManufacturerModelName = device.manufacturer, device.model
    ds.SoftwareVersions = device.software
    ds.StationName = device.station
    ds.DeviceSerialNumber = f"{device.probes[exam.domain][2]}-{len(exam.institution[0])}"
    ds.InstitutionName = exam.institution[1]
    ds.InstitutionAddress = exam.institution[0]
    ds.InstitutionalDepartmentName = "超音波検査室"


def _acquisition(ds: Dataset, exam: Exam) -> None:
    name, centre_khz, serial = exam.device.probes[exam.domain]
    depth_mm = {"liver": 150, "breast": 40, "heart": 160}[exam.domain]
    ds.TransducerData = [name, str(serial), f"{centre_khz / 1000:g}MHz"]
    ds.TransducerType = {"liver": "CURVED LINEAR", "breast": "LINEAR", "heart": "SECTOR_PHASED"}[exam.domain]
    ds.DepthOfScanField = depth_mm
    ds.FocusDepth = f"{0.45 * depth_mm / 10:.1f}"
    ds.MechanicalIndex = f"{exam.settings['mi']:.1f}"
    ds.SoftTissueThermalIndex = f"{exam.settings['tis']:.1f}"
    ds.BoneThermalIndex = f"{exam.settings['tis']:.1f}"
    ds.OutputPower = "100%"
    ds.ProcessingFunction = {"liver": "ABDOMEN", "breast": "BREAST", "heart": "CARDIAC"}[exam.domain]
    ds.HeartRate = int(exam.settings["heart_rate"])


def _region(exam: Exam, region: Box, face_px: tuple[float, float], mm_per_px: float) -> Dataset:
    """One tissue region in two dimensions (PS3.3 C.8.5.5); the reference pixel is the middle of the probe's face."""
    x, y, width, height = region
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x, y
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x + width - 1, y + height - 1
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    item.PhysicalDeltaX = item.PhysicalDeltaY = mm_per_px / 10
    item.ReferencePixelX0, item.ReferencePixelY0 = round(face_px[0]) - x, round(face_px[1]) - y
    item.ReferencePixelPhysicalValueX = item.ReferencePixelPhysicalValueY = 0.0
    item.TransducerFrequency = exam.device.probes[exam.domain][1]
    return item


def _private(ds: Dataset, exam: Exam) -> None:
    """Blocks of the kind that consoles add, with the patient's values in text, bytes and a nested item."""
    block = ds.private_block(0x0011, "EXAM REPORT 1.0", create=True)
    block.add_new(0x01, "LO", exam.patient.latin)
    block.add_new(0x02, "OB", f"{exam.patient.latin}\\{exam.patient.patient_id}".encode().ljust(64, b"\0"))
    nested = Dataset()
    inner = nested.private_block(0x0011, "EXAM REPORT 1.0", create=True)
    inner.add_new(0x10, "PN", exam.patient.person_name())
    inner.add_new(0x11, "DA", f"{exam.patient.birth_date:%Y%m%d}")
    block.add_new(0x03, "SQ", DicomSequence([nested]))
    worklist = ds.private_block(0x7FE1, "CONSOLE WORKLIST", create=True)
    worklist.add_new(0x01, "LO", [exam.accession, exam.patient.patient_id])


def _describe(ds: Dataset, photometric: str, samples: int, shape: tuple[int, ...]) -> None:
    ds.PhotometricInterpretation = photometric
    ds.SamplesPerPixel = samples
    ds.Rows, ds.Columns = shape[0], shape[1]
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.LossyImageCompression = "00"
    if samples == 3:
        ds.PlanarConfiguration = 0
    ds.ImageType = ["ORIGINAL", "PRIMARY", "", "0001"]


def _pad(stream: bytes) -> bytes:
    return stream + b"\0" * (len(stream) % 2)


def _finish(ds: Dataset, sop_class: str, transfer_syntax: str) -> Dataset:
    ds.SOPClassUID = sop_class
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(sop_class), ds.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "PHANTOM_1"
    ds.file_meta = meta
    return ds


def store_rgb(ds: Dataset, screen: Picture) -> Dataset:
    """An uncompressed colour still; screen: (rows, columns, 3) uint8, as for the other stills."""
    _describe(ds, "RGB", 3, screen.shape)
    ds.PixelData = _pad(screen.tobytes())
    ds["PixelData"].VR = "OB"
    return _finish(ds, UltrasoundImageStorage, ExplicitVRLittleEndian)


def store_rle(ds: Dataset, screen: Picture) -> Dataset:
    """A colour still in RLE (PS3.5 Annex G)."""
    store_rgb(ds, screen)
    sop_instance = ds.SOPInstanceUID
    ds.compress(RLELossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    ds.SOPInstanceUID = sop_instance
    return _finish(ds, UltrasoundImageStorage, RLELossless)


def store_monochrome(ds: Dataset, screen: Picture) -> Dataset:
    """A grey still."""
    _describe(ds, "MONOCHROME2", 1, screen.shape)
    ds.PixelData = _pad(_luma(screen).tobytes())
    ds["PixelData"].VR = "OB"
    return _finish(ds, UltrasoundImageStorage, ExplicitVRLittleEndian)


def store_palette(ds: Dataset, screen: Picture) -> Dataset:
    """A still with a palette of 192 greys and 64 of the screen's own colours (PS3.3 C.7.9)."""
    greys = np.repeat(np.rint(np.linspace(0, 255, 192)).astype(np.int32)[:, None], 3, axis=1)
    spread = screen.max(axis=2).astype(np.int32) - screen.min(axis=2)
    coloured = screen[spread > 8]
    own, counts = np.unique(coloured & 0xF0, axis=0, return_counts=True)
    chosen = own[np.argsort(-counts, kind="stable")[:64]].astype(np.int32) + 8
    palette = np.vstack([greys, chosen, np.zeros((64 - len(chosen), 3), dtype=np.int32)])
    index = np.rint(_luma(screen).astype(np.float32) * 191 / 255).astype(np.uint8)
    if len(chosen):
        distance = ((coloured[:, None, :].astype(np.int32) - chosen[None, :, :]) ** 2).sum(axis=2)
        index[spread > 8] = (192 + distance.argmin(axis=1)).astype(np.uint8)
    _describe(ds, "PALETTE COLOR", 1, screen.shape)
    for n, colour in enumerate(("Red", "Green", "Blue")):
        setattr(ds, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 16])
        setattr(ds, f"{colour}PaletteColorLookupTableData", (palette[:, n] * 257).astype("<u2").tobytes())
    ds.PixelData = _pad(index.tobytes())
    ds["PixelData"].VR = "OB"
    return _finish(ds, UltrasoundImageStorage, ExplicitVRLittleEndian)


def store_cine(ds: Dataset, screens: Sequence[Picture], frame_time_ms: float) -> Dataset:
    """A cine in JPEG baseline, YBR_FULL_422, one fragment for each frame; screens: (rows, columns, 3) uint8 each."""
    frames = [
        simplejpeg.encode_jpeg(
            np.ascontiguousarray(screen), quality=JPEG_QUALITY, colorspace="RGB", colorsubsampling="422"
        )
        for screen in screens
    ]
    _describe(ds, "YBR_FULL_422", 3, screens[0].shape)
    raw, stored = sum(screen.nbytes for screen in screens), sum(map(len, frames))
    ds.LossyImageCompression, ds.LossyImageCompressionMethod = "01", "ISO_10918_1"
    ds.LossyImageCompressionRatio = f"{raw / stored:.2f}"
    ds.NumberOfFrames = len(frames)
    ds.FrameTime = f"{frame_time_ms:.3f}"
    ds.FrameIncrementPointer = 0x00181063
    ds.CineRate = ds.RecommendedDisplayFrameRate = round(1000 / frame_time_ms)
    ds.StartTrim, ds.StopTrim = 1, len(frames)
    ds.EffectiveDuration = f"{len(frames) * frame_time_ms / 1000:.3f}"
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    return _finish(ds, UltrasoundMultiFrameImageStorage, JPEGBaseline8Bit)


def _luma(screen: Picture) -> Picture:
    weighted = screen.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return np.rint(weighted).astype(np.uint8)


STILLS: tuple[Callable[[Dataset, Picture], Dataset], ...] = (store_rgb, store_rle, store_palette, store_monochrome)
