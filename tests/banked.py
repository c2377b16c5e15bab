"""Cases in central's bank for tests: one case released by a site, taken in again and again as other patients'."""

import io
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from core.node import CentralNode
from core.package import archive, envelope
from core.package.contract import Codes, Integer
from core.services import receive, replicate
from tests.casework import pulled, small_study
from tests.gateway import Change, Door, Gate, Source, add_site
from tests.pacs_twin import BadPacs, running
from tests.postgres_fixture import ScratchPostgres
from tests.served import Served, serve
from tests.sites import open_site, person

_kept: list[Source] = []


def released(postgres: ScratchPostgres) -> Source:
    """A liver case with a still and a short cine as a site has sent it; made once for a whole run."""
    if not _kept:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sonobank-released-")))
            central = cast(CentralNode, stack.enter_context(serve(postgres, "central")).node)
            (folder / "central.json").write_text(central.keys.public().dump())
            pacs = BadPacs()
            stack.enter_context(running(pacs))
            site = stack.enter_context(open_site(folder / "site", pacs.url, central_keys_file=folder / "central.json"))
            case = pulled(site, person(site), pacs, small_study(77, stills=1, cine_frames=2))
            case.curate()
            case.register()
            package = case.release_and_pack()
            assert package.header is not None, package.reason
            header, plain = envelope.read_header(package.header.encode()), io.BytesIO()
            with site.outbox(package.id).open("rb") as sealed:
                envelope.decrypt_package(sealed, plain, header, central.keys.identity)
            plain.seek(0)
            files: dict[str, bytes] = {}
            record = archive.read_archive(
                plain, header, lambda image, chunks: files.update({image.sha256: b"".join(chunks)})
            )
            _kept.append(Source(record, files, site.keys.signer()))
    return _kept[0]


class Bank:
    """Central's bank, filled from one released case."""

    def __init__(self, served: Served, source: Source, *sites: str) -> None:
        self.served, self._source = served, source
        self._gates: dict[str, Gate] = {}
        for site in sites:
            add_site(served, site, source.key)
            self._gates[site] = Gate(Door.opened(served, site, "*"))

    @property
    def node(self) -> CentralNode:
        return cast(CentralNode, self.served.node)

    def take(
        self,
        site: str,
        diagnosis: str = "LIV-HCC",
        malignancy: str = "malignant",
        rank: int = 1,
        basis: tuple[str, ...] = ("DX-HIST-BX", "MR"),
        vendor: str | None = "GE Healthcare",
        has_roi: bool = True,
        is_replicated: bool = True,
    ) -> UUID:
        """A new patient's case; returns its id."""
        image = self._source.record.images[0]
        fresh = self._source.fresh(device=image.device.model_copy(update={"manufacturer": vendor}))
        record = fresh.record
        values = record.values | {
            "diagnosis": Codes(kind="codes", codes=(diagnosis,), source="manual"),
            "malignancy": Codes(kind="codes", codes=(malignancy,), source="derived"),
            "truth_rank": Integer(kind="integer", value=rank, unit="1", source="derived"),
        }
        rois = tuple(roi.model_copy(update={"label": diagnosis}) for roi in record.rois) if has_roi else ()
        changes: dict[str, Any] = {"site": site, "basis": basis, "values": values, "rois": rois}
        fresh = replace(fresh, record=record.model_copy(update=changes))
        receipt = self._gates[site].judge(fresh.seal(self.node))
        assert receipt.verdict == "ACCEPTED", receipt.reasons
        if is_replicated:
            replicate.replicate(self.node, fresh.record.case_id)
        return fresh.record.case_id

    def quarantine(self, site: str, change: Change) -> None:
        """A package with a file that may not be here."""
        fresh = self._source.fresh(change)
        fresh = replace(fresh, record=fresh.record.model_copy(update={"site": site}))
        door, sealed = self._gates[site].door, fresh.seal(self.node)
        door.deliver(sealed)
        receive.receive(self.node, door.parcel(sealed).id)
