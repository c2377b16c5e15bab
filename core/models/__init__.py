"""SQLModel tables, a file a noun. They never receive a user's input unchecked: a table model does not validate."""

from sqlmodel import SQLModel

from core.models import (
    archive,
    audit,
    bank,
    curation,
    datasets,
    defaults,
    devices,
    filters,
    heart,
    people,
    progress,
    proposals,
    reads,
    registry,
    schedule,
    sitecase,
    training,
    transfer,
)

metadata = SQLModel.metadata

__all__ = [
    "archive",
    "audit",
    "bank",
    "curation",
    "datasets",
    "defaults",
    "devices",
    "filters",
    "heart",
    "metadata",
    "people",
    "progress",
    "proposals",
    "reads",
    "registry",
    "schedule",
    "sitecase",
    "training",
    "transfer",
]
