"""The made-up certificates of one province: the same for the same seed and day."""

import random
from collections.abc import Collection
from datetime import date
from itertools import cycle
from pathlib import Path
from typing import Final, TypedDict

from deploy.demo.faces import face, facts_of
from deploy.demo.files import demo_files
from deploy.demo.holders import DemoHolder, demo_holders, seeded
from deploy.demo.issuers import PLACES, issuer
from deploy.demo.terms import term
from deploy.demo.types import TYPES, DemoType
from schemas.certificates import CertificateRecord, CertificateStatus
from schemas.identifiers import make_certificate_id, parse_certificate_id
from workers.stores.sqlite_layout import read_store, write_store

SEED: Final = 20_260_101
COUNT: Final = 2_500

_WRONG_CHECK: Final = frozenset({50, 147, 244})  # valid ones, stored as the field stores some (DOMAIN §5.1)


class Sample(TypedDict):
    """One certificate to ask for, in the names of the interfaces."""

    certificateID: str
    typeCode: str
    typeName: str
    holderCode: str
    holderName: str
    holderTypeCode: str
    number: str
    status: str


def demo_certificates(province: str, *, count: int = COUNT, seed: int = SEED, today: date) -> list[CertificateRecord]:
    """Return the certificates of a province; identifiers and holders do not depend on the day, dates do.

    Every status occurs from 97 certificates on. Three valid ones have a wrong check character.
    """
    draw = seeded(seed, "certificates", province)
    offered = [kind for kind in TYPES if province in kind.provinces]
    queues = [cycle(_candidates(kind, province, seed, draw)) for kind in offered]
    return [
        _certificate(index, offered[turn], next(queues[turn]), province=province, seed=seed, today=today, draw=draw)
        for index, turn in ((index, index % len(offered)) for index in range(count))
    ]


def _candidates(kind: DemoType, province: str, seed: int, draw: random.Random) -> list[DemoHolder]:
    pool = [h for h in demo_holders(seed)[kind.holder_category] if kind.holder_sex in {None, h.sex}]
    residents = [holder for holder in pool if holder.home == province]
    others = [holder for holder in pool if holder.home != province]
    guests = [] if kind.residents_only else draw.sample(others, len(residents) // 2)
    return draw.sample(residents + guests, len(residents) + len(guests))


def _certificate(
    index: int, kind: DemoType, holder: DemoHolder, *, province: str, seed: int, today: date, draw: random.Random
) -> CertificateRecord:
    place = draw.choice(PLACES[province])
    issuer_name, issuer_code = issuer(place, kind)
    span = term(index, years=kind.years, today=today, share=draw.random())
    facts = facts_of(kind, holder, place, span, serial=index, seed=seed, draw=draw) | {"issuer": issuer_name}
    certificate_id = make_certificate_id(kind.type_code, issuer_code, f"DEMO{index:08d}", "001")
    return CertificateRecord(
        certificate_id=_with_wrong_check(certificate_id) if index in _WRONG_CHECK else certificate_id,
        type_code=kind.type_code,
        type_name=kind.type_name,
        name=kind.type_name,
        number=str(facts["number"]),
        holder_name=holder.name,
        holder_code=holder.code,
        holder_type_code=holder.type_code,
        issuer_name=issuer_name,
        issuer_code=issuer_code,
        issue_date=span.issued.isoformat(),
        valid_from=span.begins.isoformat(),
        valid_to=span.ends.isoformat() if span.ends else None,
        status=span.status,
        area_code=place.area,
        surface=face(kind, facts, draw),
    )


def _with_wrong_check(certificate_id: str) -> str:
    return certificate_id[:-1] + ("0" if certificate_id[-1] != "0" else "1")


def write_demo_store(path: Path, province: str, today: date) -> None:
    """Write the province's store anew, in one step, with a file of every certificate."""
    records = demo_certificates(province, today=today)
    write_store(path, records, demo_files(province, records))


def sample(path: Path, n: int, type_codes: Collection[str]) -> list[Sample]:
    """Return up to n valid certificates of these types, types in turn, with right check characters.

    Raises sqlite3.Error when the file is no store, msgspec.DecodeError when a row in it is no certificate.
    """
    chosen: list[Sample] = []
    for record in read_store(path):
        if len(chosen) == n:
            break
        if record.type_code not in type_codes:
            continue
        if record.status is CertificateStatus.VALID and parse_certificate_id(record.certificate_id).check_is_right:
            chosen.append(
                Sample(
                    certificateID=record.certificate_id,
                    typeCode=record.type_code,
                    typeName=record.type_name,
                    holderCode=record.holder_code,
                    holderName=record.holder_name,
                    holderTypeCode=record.holder_type_code,
                    number=record.number,
                    status=record.status.value,
                )
            )
    return chosen
