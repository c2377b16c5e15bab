"""Non-identifying facts of an instance as they are kept in its row, and back."""

from dataclasses import asdict
from typing import Any

from pydicom.dataset import Dataset

from core.deid import words
from core.dicom.facts import InstanceFacts
from core.dicom.ultrasound import Region


def stored_facts(facts: InstanceFacts) -> dict[str, Any]:
    """JSON-able; tuples become lists."""
    return asdict(facts)


def regions_of(stored: dict[str, Any]) -> tuple[Region, ...]:
    return tuple(Region(**region) for region in stored.get("regions", ()))


def kept_words(dataset: Dataset) -> dict[str, Any]:
    """What stays of the image's short descriptions, for a person to read before they leave: words of a list and no others."""
    return {
        "descriptions": [{"keyword": one.keyword, "text": one.text} for one in words.descriptions(dataset) if one.text]
    }
