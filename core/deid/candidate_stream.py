"""From the stored frames of an image to the stream of its candidate, whatever its coding: one way for site and folder."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from core.deid.candidate import Index, Plan, Writer
from core.deid.candidate_frames import masked_frames
from core.deid.video_candidate import masked_video
from core.dicom.codestream import H264
from core.dicom.part10 import Part10, frame_bytes, stream_bytes
from core.sandbox import Caller


def write_stream(
    sandbox: Caller, fp: BinaryIO, part10: Part10, plan: Plan, workers: int, store: Callable[[Iterator[bytes]], object]
) -> Index:
    """Mask every frame in `workers` children at a time and give the stream to `store`; what is known of it comes back.

    Memory is flat in the number of frames, but for a video, whose stream is held once. Raises Held or Refused for the
    first frame that cannot be masked; then `store` has not seen the end."""
    if part10.transfer_syntax in H264:
        pieces, index = masked_video(sandbox, stream_bytes(fp, part10), plan, workers)
        store(pieces)
        return index
    writer = Writer(plan)
    frames = (frame_bytes(fp, part10, number) for number in range(len(part10.frames)))
    store(writer.stream(masked_frames(sandbox, frames, plan, workers)))
    return writer.index()
