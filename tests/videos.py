"""Ultrasound-like videos made for the tests, in every container, and DICOM files round them."""

import importlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID

from core.deid import candidate, headers, release
from core.deid.candidate import Index
from core.deid.masks import Rect
from core.deid.pseudonyms import Pseudonyms
from core.deid.video_candidate import masked_video
from core.dicom import mp4
from core.dicom.part10 import Part10, open_part10, stream_bytes
from core.dicom.ultrasound import regions
from ml.phantom import PhantomInstance, PhantomStudy

ROWS, COLUMNS, RATE, COUNT = 112, 144, 25, 30
SECRET = b"YAMADA HANAKO 70012345"
SYNTAX = "1.2.840.10008.1.2.4.102"
BANNER = Rect(0, 0, COLUMNS, 16)
Grey = NDArray[np.uint8]


def cine(count: int, seed: int = 1) -> list[Grey]:
    """Frames (H, W): speckle that moves a little, a bright blob that goes from left to right, a banner with writing."""
    random = np.random.default_rng(seed)
    ground = random.gamma(2.0, 14.0, (ROWS, COLUMNS + count)).clip(0, 150)
    banner = Image.new("L", (COLUMNS, 16))
    ImageDraw.Draw(banner).text((2, 2), "YAMADA HANAKO", fill=255)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    frames = []
    for number in range(count):
        frame = ground[:, number // 2 : number // 2 + COLUMNS].copy()
        frame += 100 * np.exp(-(((y - 70) / 9) ** 2 + ((x - 10 - blob_x(number, count)) / 7) ** 2))
        frame[:16] = np.asarray(banner)
        frames.append(frame.clip(0, 255).astype(np.uint8))
    return frames


def blob_x(number: int, count: int) -> float:
    return number * (COLUMNS - 20) / count


def stream(frames: Sequence[Grey], container: str, *, bframes: int = 3, keyint: int = 12, plant: bool = True) -> bytes:
    """The video in `mp4`, `mpegts` or `h264`; `plant`: a title, sound, and a note in every key frame where it has room."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        if plant and container == "mp4":
            target.metadata["title"] = target.metadata["comment"] = SECRET.decode()
        track: Any = target.add_stream("libx264", rate=RATE)
        track.width, track.height, track.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        track.options = {
            "crf": "8",
            "x264-params": f"bframes={bframes}:keyint={keyint}:scenecut=0:b-adapt=0:open-gop=0:threads=1",
        }
        sound: Any = target.add_stream("aac", rate=48000) if plant and container != "h264" else None
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.repeat(frame[:, :, None], 3, 2), format="rgb24")
            target.mux(track.encode(picture.reformat(format="yuv420p")))
        target.mux(track.encode(None))
        if sound is not None:
            quiet = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            quiet.sample_rate, quiet.time_base, quiet.pts = 48000, Fraction(1, 48000), 0
            target.mux(sound.encode(quiet))
            target.mux(sound.encode(None))
    data = out.getvalue()
    return with_note(data) if plant and container == "h264" else data


def with_note(data: bytes) -> bytes:
    """An Annex B stream with unregistered user data (SEI, payload 5) before its first slice and zeros at its end."""
    note = b"\0\0\1\6\5" + bytes([16 + len(SECRET)]) + b"U" * 16 + SECRET + b"\x80"
    at = data.index(b"\0\0\1\x65")
    return data[:at] + note + data[at:] + b"\0\0\0"


def describe(ds: Dataset, data: bytes, frames: int, fragments: int = 1) -> Dataset:
    """Make `ds` a multi-frame ultrasound image with this stream as its pixel data."""
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "YBR_PARTIAL_420", 0
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = ROWS, COLUMNS, 8, 8, 7, 0
    ds.NumberOfFrames, ds.FrameTime = frames, str(1000 / RATE)
    ds.LossyImageCompression, ds.LossyImageCompressionRatio, ds.LossyImageCompressionMethod = "01", "20", "ISO_14496_10"
    step = -(-len(data) // fragments)
    step += step % 2
    pieces = [data[start : start + step] for start in range(0, len(data), step)]
    ds.PixelData = encapsulate(pieces, has_bot=False)
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    region = ds.SequenceOfUltrasoundRegions[0]
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 20
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = COLUMNS - 1, ROWS - 1
    return ds


def decoded(data: bytes) -> list[Grey]:
    """The luma of every frame as PyAV reads the file, (H, W), in the order shown."""
    with av.open(io.BytesIO(data)) as source:
        return [picture.to_ndarray(format="yuv420p")[: picture.height].copy() for picture in source.decode(video=0)]


class Here:
    """In place of the sandbox."""

    def call(
        self, target: str, params: Mapping[str, Any], blobs: Sequence[bytes] = ()
    ) -> tuple[dict[str, Any], list[bytes]]:
        module, name = target.split(":")
        result, returned = getattr(importlib.import_module(module), name)(json.loads(json.dumps(params)), list(blobs))
        return json.loads(json.dumps(result)), returned


@dataclass(frozen=True)
class Made:
    """A video after the whole way; `before` is what its pictures were."""

    before: list[Any]
    source: Part10
    header: Dataset
    index: Index
    stream: bytes
    file: bytes

    @property
    def movie(self) -> bytes:
        part10 = open_part10(io.BytesIO(self.file), len(self.file))
        return stream_bytes(io.BytesIO(self.file), part10)


Make = Callable[..., Made]


def whole_way(file: bytes, rects: tuple[Rect, ...], pseudonyms: Pseudonyms) -> Made:
    """A file through candidate and new header to a released one."""
    fp = io.BytesIO(file)
    source = open_part10(fp, len(file))
    assert source.pixel is not None
    data = stream_bytes(fp, source)
    plan = candidate.plan(source.dataset, source.pixel, rects, regions(source.dataset, ROWS, COLUMNS))
    pieces, index = masked_video(Here(), data, plan, 1)
    coded = io.BytesIO(b"".join(pieces))
    header = headers.deidentify(source.dataset, pseudonyms, index, revision=1, needles=("Yamada",))
    out = io.BytesIO()
    release.write_file(header, coded, index, out)
    return Made(decoded(data), source, header, index, coded.getvalue(), out.getvalue())


def read_movie(data: bytes) -> tuple[mp4.Movie, bytes]:
    size = mp4.head_size(data[:40])
    movie = mp4.read_head(data[:size])
    assert movie is not None
    return movie, data[size : size + sum(movie.sizes)]


def filmed(study: PhantomStudy) -> PhantomStudy:
    """The study with its cines in H.264 instead of JPEG, as MP4 with a title and sound."""
    return replace(study, instances=tuple(_filmed(instance) for instance in study.instances))


def _filmed(instance: PhantomInstance) -> PhantomInstance:
    ds = instance.dataset
    if int(ds.get("NumberOfFrames") or 1) == 1:
        return instance
    frames = [np.asarray(Image.open(io.BytesIO(one)).convert("L")) for one in generate_frames(ds.PixelData)]
    ds.PixelData = encapsulate([stream(frames, "mp4")], has_bot=False)
    ds.PhotometricInterpretation, ds.LossyImageCompressionMethod = "YBR_PARTIAL_420", "ISO_14496_10"
    ds.file_meta.TransferSyntaxUID = UID(SYNTAX)
    return instance
