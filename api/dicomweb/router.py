"""The two halves of the DICOMweb door: `reading` where there is something to read, `storing` at a PACS only."""

from fastapi import APIRouter

from api.dicomweb import frames, qido, rendered, stow, wado

PREFIX = "/dicom-web"

reading = APIRouter(prefix=PREFIX, tags=["dicomweb"])
for _part in (qido.router, wado.router, frames.router, rendered.router):
    reading.include_router(_part)

storing = APIRouter(prefix=PREFIX, tags=["dicomweb"])
storing.include_router(stow.router)
