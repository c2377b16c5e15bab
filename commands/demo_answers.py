"""What the demo's curator answers on the form: plausible values for a generated lesion."""

from typing import Any

from ml.phantom import Truth

_COMMON: dict[str, Any] = {"basis": ["DX-MULTI", "US"], "image_quality": "IQ-DIAG", "examiner_class": "EX-SONO"}
_LIVER: dict[str, Any] = {
    "lesion_count": "N1",
    "lesion_index": 1,
    "segment": ["277956007"],
    "earlier_treatment": "TX-NAIVE",
    "background": "BG-NORMAL",
}
_BREAST: dict[str, Any] = {
    "sampling": "SA-CNB",
    "side": "80248007",
    "region": ["76365002"],
    "lesion_type": "MASS",
    "pattern": "PAT-SOL",
    "category_jabts": "3a",
}


def answers_for(domain: str, truth: Truth) -> dict[str, Any]:
    """{field: value} for one study."""
    boxes = [box for box in truth.boxes if box is not None]
    long_mm, short_mm = (
        sorted((round(side * truth.mm_per_px, 1) for side in boxes[0][2:]), reverse=True) if boxes else (0.0, 0.0)
    )
    values = (
        _COMMON
        | {"diagnosis": truth.code, "image_mode": "399009009"}
        | {"size_long_mm": long_mm, "size_short_mm": short_mm}
    )
    if domain == "liver":
        values |= _LIVER
        if truth.code == "LIV-HCC":
            values |= {"basis": ["DX-HIST-BX", "MR"], "hcc_grade": "GR-MOD"}
        if truth.code == "LIV-MET":
            values |= {"primary_site": "C18"}
        return values
    return values | _BREAST
