"""Certificates of nobody, and stores that play what a store can do to its reader."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from schemas.certificates import CertificateRecord, CertificateStatus, SurfaceField, minimise_surface
from schemas.identifiers import parse_certificate_id
from tests.support_registry import CARD, CITIZEN_ID, identifier_of
from workers.stores.memory import NO_FILES, MemoryStore
from workers.stores.port import Ask, Found, StoreError


def certificate(serial: int, type_code: str = CARD, **changes: Any) -> CertificateRecord:
    """A valid certificate whose holder does not exist."""
    identifier = identifier_of(serial, type_code)
    made = CertificateRecord(
        certificate_id=identifier,
        type_code=type_code,
        type_name="测试证照",
        name="测试证照",
        number=f"TEST-{serial:06}",
        holder_name="测小试",
        holder_code=CITIZEN_ID,
        holder_type_code="111",
        issuer_name="测试发证机关",
        issuer_code=parse_certificate_id(identifier).issuer_code,
        issue_date="2024-01-01",
        valid_from="2024-01-01",
        valid_to="2099-12-31",
        status=CertificateStatus.VALID,
        area_code="320000",
        surface=(
            SurfaceField(name="姓名", column_name="KZ_XM", value="测小试"),
            SurfaceField(name="性别", column_name="KZ_XB", value="女性（测试）"),
            SurfaceField(name="住址", column_name="KZ_ZZ", value="某某市示例区演示路1号"),
            SurfaceField(name="公民身份号码", column_name="KZ_GMSFHM", value=CITIZEN_ID),
        ),
    )
    return replace(made, **changes)


class GatedStore(MemoryStore):
    """Answers each ask by itself, in order; `gate` holds the answers from the one numbered `from_place` on."""

    def __init__(
        self,
        records: Sequence[CertificateRecord],
        *,
        from_place: int = 0,
        files: Mapping[tuple[str, str], bytes] = NO_FILES,
    ) -> None:
        super().__init__(records, files=files)
        self.gate = asyncio.Event()
        self.from_place = from_place
        self.asked: list[Ask] = []

    async def fetch(self, asks: Sequence[Ask]) -> AsyncIterator[Sequence[Found]]:
        self.asked += asks
        for place, ask in enumerate(asks):
            if place >= self.from_place:
                await self.gate.wait()
            async for found in super().fetch([ask]):
                yield found


class BrokenStore(MemoryStore):
    """Answers the first ask, then cannot be reached."""

    async def fetch(self, asks: Sequence[Ask]) -> AsyncIterator[Sequence[Found]]:
        async for found in super().fetch(asks[:1]):
            yield found
        raise StoreError("the store cannot be reached")


class LyingStore(MemoryStore):
    """Answers every ask with one and the same record, or says that it is unusable, or answers twice."""

    def __init__(self, record: CertificateRecord, *, unusable: bool = False, times: int = 1) -> None:
        super().__init__([record])
        self.record, self.unusable, self.times = record, unusable, times

    async def fetch(self, asks: Sequence[Ask]) -> AsyncIterator[Sequence[Found]]:
        for ask in asks:
            found = minimise_surface(self.record, frozenset().union(*ask.columns.values()))
            yield [Found(key=ask.key, records=(found,), unusable=self.unusable)] * self.times
