"""The DICOM archive behind the DICOMweb door: de-identified at central, identified phantoms at `pacs`."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import Field, SQLModel

from core.ids import uuid7
from core.models.base import Created


class Study(SQLModel, table=True):
    """A study with the QIDO-RS attributes of PS3.18 table 10.6.3-3; counts and modalities are kept with the row."""

    __table_args__ = (Index("ix_study_modalities", "modalities", postgresql_using="gin"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    study_uid: str = Field(unique=True, max_length=64)
    domain: str | None = Field(default=None, max_length=32, index=True)
    patient_id: str = Field(default="", index=True)
    patient_name: str = Field(default="")
    patient_name_key: str = Field(default="", description="component groups folded for matching, each between =")
    patient_birth_date: str = Field(default="", max_length=8)
    patient_sex: str = Field(default="", max_length=16)
    study_date: str = Field(default="", max_length=8, index=True)
    study_time: str = Field(default="", max_length=16)
    accession_number: str = Field(default="", index=True)
    study_id: str = Field(default="")
    study_description: str = Field(default="")
    referring_physician_name: str = Field(default="")
    referring_physician_key: str = Field(default="")
    modalities: list[str] = Field(default_factory=list, sa_type=ARRAY(TEXT))
    series_count: int = 0
    instance_count: int = 0
    created_at: datetime = Created()


class Series(SQLModel, table=True):
    __table_args__ = (Index("ix_series_study_number", "study_id", "series_number"),)
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    study_id: UUID = Field(foreign_key="study.id")
    series_uid: str = Field(unique=True, max_length=64)
    modality: str = Field(default="", max_length=16)
    series_number: int | None = None
    series_description: str = Field(default="")
    performed_date: str = Field(default="", max_length=8)
    performed_time: str = Field(default="", max_length=16)
    scheduled_step_ids: list[str] = Field(default_factory=list, sa_type=ARRAY(TEXT))
    requested_procedure_ids: list[str] = Field(default_factory=list, sa_type=ARRAY(TEXT))
    request_json: str = Field(default="", description="RequestAttributesSequence in the DICOM JSON model")
    instance_count: int = 0


class Instance(SQLModel, table=True):
    """One stored object. `metadata_json` is its DICOM JSON as text, its BulkDataURIs from the root of this server;
    `frame_ranges` are byte ranges in the blob."""

    __table_args__ = (
        Index("ix_instance_series_number", "series_id", "instance_number"),
        Index("ix_instance_hidden", "sha256", postgresql_where=text("hidden")),
    )
    id: UUID = Field(default_factory=uuid7, primary_key=True)
    series_id: UUID = Field(foreign_key="series.id")
    sop_instance_uid: str = Field(unique=True, max_length=64)
    sop_class_uid: str = Field(max_length=64)
    transfer_syntax: str = Field(max_length=64)
    instance_number: int | None = None
    rows: int | None = None
    columns: int | None = None
    frames: int | None = None
    bits_allocated: int | None = None
    sha256: str = Field(max_length=64, index=True)
    size: int = Field(sa_type=BigInteger)
    metadata_json: str
    frame_ranges: str = Field(default="[]", description="JSON: per frame a list of [offset, length]")
    pixel: str = Field(default="", description="JSON: what decoding a frame needs (core.services.archiving.Pixel)")
    hidden: bool = False
    created_at: datetime = Created()
