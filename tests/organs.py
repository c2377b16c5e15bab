"""Whole answers of organs for which there are no generated pictures: any study will do, its pixels are not asked."""

from dataclasses import replace
from typing import Any, Final

from core.curation.wall_motion import SEGMENTS
from ml.phantom import PhantomStudy
from tests.casework import small_study

_EXAM: Final[dict[str, Any]] = {
    "image_mode": "399009009",
    "image_quality": "IQ-DIAG",
    "transducer_type": "SECTOR_PHASED",
    "sex": "F",
    "age_years": 44,
}
NORMAL, HYPOKINETIC, NOT_SEEN, NOBODY_LOOKED = "373122000", "37706002", "122288", "373121007"
HEART: Final = _EXAM | {
    "diagnosis": "HT-OMI",
    "basis": ["DX-CMR", "DX-ECHO-ONE"],
    "views": ["399214001", "399232001"],
    "rhythm": "10:9216",
    "heart_rate": 64,
    "lvef_percent": 48.5,
    "lvef_method": "125207",
    "edv_ml": 120.0,
    "esv_ml": 61.8,
    "wall_motion": [NORMAL] * 12 + [HYPOKINETIC] * 3 + [NOT_SEEN] * (SEGMENTS - 15),
    "mr_grade": "VG-MILD",
}
THYROID: Final = _EXAM | {
    "diagnosis": "TH-PTC",
    "basis": ["DX-CYTO"],
    "cytology": "VI",
    "lesion_count": "N1",
    "side": ["29565003"],
    "level": ["TS-MID"],
    "size_long_mm": 12.4,
    "size_short_mm": 9.0,
    "background": "TBG-HASH",
    "composition": "COMP-SOL",
    "echogenicity": "ECHO-HYPO",
    "shape": "TSHAPE-TALL",
    "margin": "TMARG-LOB",
    "echogenic_foci": ["FOCI-PUNCT"],
    "category_tirads": "TR5",
}


def study_of(domain: str, seed: int, stills: int = 1, cine_frames: int = 0) -> PhantomStudy:
    """A generated study that is flagged for another organ than the one it shows."""
    return replace(small_study(seed, stills=stills, cine_frames=cine_frames), domain=domain)
