"""Non-identifying facts of an instance as they are kept in its row, and back."""

from dataclasses import asdict
from typing import Any

from core.dicom.facts import InstanceFacts
from core.dicom.ultrasound import Region


def stored_facts(facts: InstanceFacts) -> dict[str, Any]:
    """JSON-able; tuples become lists."""
    return asdict(facts)


def regions_of(stored: dict[str, Any]) -> tuple[Region, ...]:
    return tuple(Region(**region) for region in stored.get("regions", ()))
