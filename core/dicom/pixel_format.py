"""How one image's pixels are stored, in the words of PS3.3 C.7.6.3."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PixelFormat:
    """The facts that are needed to decode or encode one stored frame.

    `photometric` is the one in the file (e.g. YBR_FULL_422); `planar` is 0 (colour by pixel) or 1 (by plane);
    `pixel_representation` is 0 for unsigned; `frames` is NumberOfFrames, 1 for a still."""

    transfer_syntax: str
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    pixel_representation: int
    photometric: str
    planar: int
    frames: int

    @property
    def frame_bytes(self) -> int:
        """Length of one uncompressed frame as stored; YBR_FULL_422 keeps two chroma samples for two pixels."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        return (self.rows * self.columns * samples * self.bits_allocated + 7) // 8
