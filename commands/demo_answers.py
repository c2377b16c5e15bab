"""What the demo's curator answers on the form: plausible values for a generated lesion."""

from typing import Any

from ml.phantom import PhantomInstance, Truth

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


def answers_to_texts(mask: dict[str, Any], instance: PhantomInstance) -> dict[str, str]:
    """{number: mask or leave} for text that waits: what the generator wrote as a measurement stays, all else goes."""
    harmless = [text.box for text in instance.texts if not text.identifying]
    return {
        str(number): "leave" if any(_meets(text["box"], box) for box in harmless) else "mask"
        for number, text in enumerate(mask["texts"])
        if text["answer"] is None
    }


def _meets(box: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    """Whether the box (x0 y0 x1 y1) cuts into the other one (x y width height)."""
    x, y, width, height = other
    return box[0] < x + width and x < box[2] and box[1] < y + height and y < box[3]
