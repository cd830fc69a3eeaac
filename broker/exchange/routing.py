"""Which province is asked: pure (DESIGN §6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.regions import PROVINCES, province_of_area

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.identifiers import CertificateId


def route(identifier: CertificateId, region_codes: Sequence[str] | None, sources: Sequence[str]) -> tuple[str, ...]:
    """Provinces for an interface by identifier: the issuer's area, else the regions named, else the scenario's sources.

    Empty when none of them belongs to the exchange.
    """
    area = identifier.issuer_area
    if area and (owner := province_of_area(area)):
        return (owner,)
    named = [province for code in region_codes or () if (province := province_of_area(code))]
    return tuple(dict.fromkeys(named)) or tuple(province for province in sources if province in PROVINCES)
