"""A small registry with nobody real in it: one node, one application, two types, one scenario."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from broker.bus.keys import KeyFile, KeySigner
from broker.registry.snapshot import Snapshot
from schemas.catalogue import CatalogueEntry, CatalogueField, Level, Mask
from schemas.checks import citizen_check
from schemas.consents import Consent
from schemas.identifiers import make_certificate_id
from schemas.jose import b64
from schemas.kinds import Kind
from schemas.record_tree import RecordTree
from schemas.registry import Application, Manifest, Party, PartyKey, Record, Withdrawal, digest_of
from schemas.scenes import (
    Basis,
    ConsentMode,
    ConsentRule,
    LegalBasis,
    Limits,
    Retention,
    Scene,
    SceneCode,
    SceneItem,
    SceneType,
)
from schemas.suites import new_keys
from schemas.wire import sign_compact

Body = Party | Application | CatalogueEntry | Scene | Withdrawal

NODE, OTHER_NODE, PROVINCE = "31-yct", "31-sdk", "32"
APPLICATION: Final = "yct-enterprise"
ADDRESS: Final = "192.0.2.7"  # RFC 5737: documentation
SCENE: Final = "YRD-310000-2026-00001"
ORG, OTHER_ORG = "11310000MB9A0001XM", "11320000MB9A0002XT"  # made up, right in their check characters
ISSUER: Final = OTHER_ORG
ITEM: Final = f"{ORG}2000142001001"
CARD, LICENCE, UNSHARED = "11100000000013127D001", "11100000MB0143028R001", "111000000000131433001"
PURPOSE: Final = "BUSINESS_REGISTRATION"
ALL_PROVINCES: Final = ("31", "32", "33", "34")
LONG_AGO, FAR_AHEAD = 0, 4_102_444_800_000
CITIZEN_ID: Final = "99000119900101001" + citizen_check("99000119900101001")  # area 990xxx is nobody's

_encode = msgspec.json.Encoder().encode
_KINDS: dict[type[Body], Kind] = {
    Party: Kind.PARTY,
    Application: Kind.APPLICATION,
    CatalogueEntry: Kind.CATALOGUE,
    Scene: Kind.SCENE,
    Withdrawal: Kind.WITHDRAWAL,
}


def identifier_of(serial: int | str, type_code: str = CARD) -> str:
    return make_certificate_id(type_code, ISSUER, f"TEST{serial:>06}", "001")


def alias_of(type_code: str) -> str:
    """What some province calls this type."""
    return f"某省所称证照 {type_code[-3:]}"


def new_party_keys(party: str) -> KeyFile:
    signing, sealing = new_keys()
    return KeyFile(party=party, signing=signing, sealing=sealing, holder_key=b64(bytes(32)))


def party(keys: KeyFile, *, uses: tuple[str, ...] = ("sig", "enc")) -> Party:
    """A party that has those of its keys whose use is named."""
    kind = "node" if "-" in keys.party else "province"
    entries = [
        PartyKey(jwk=jwk.public, not_before=LONG_AGO, not_after=FAR_AHEAD)
        for jwk in (keys.signing, keys.sealing)
        if jwk.use in uses
    ]
    return Party(id=keys.party, kind=kind, name=keys.party, keys=tuple(entries))


def application() -> Application:
    return Application(
        id=APPLICATION,
        node=NODE,
        name="窗口系统（测试）",
        org_codes=(ORG, OTHER_ORG),
        addresses=("192.0.2.0/24", "2001:db8::/32"),
        per_second=1_000,
    )


def entry(type_code: str = CARD) -> CatalogueEntry:
    return CatalogueEntry(
        type_code=type_code,
        type_name="测试证照",
        code_verified=True,
        defining_body="测试定义机构",
        defining_body_code=type_code[:18],
        defining_level=Level.NATION,
        issuing_level=Level.COUNTY,
        validity_range="长期",
        holder_category="person",
        provinces=ALL_PROVINCES,
        interfaces=("I1", "I2", "I3", "I4", "I5", "I6"),
        fields=(
            CatalogueField(column="KZ_XM", label="姓名", mask=Mask.NAME),
            CatalogueField(column="KZ_XB", label="性别"),
            CatalogueField(column="KZ_ZZ", label="住址", mask=Mask.ADDRESS),
            CatalogueField(column="KZ_GMSFHM", label="公民身份号码", mask=Mask.CITIZEN_ID),
        ),
        file_formats=("ofd", "pdf"),
        aliases={"31": (alias_of(type_code),)},
    )


def granted() -> SceneType:
    return SceneType(
        type_code=CARD,
        source_provinces=("31", PROVINCE),
        interfaces=("I1", "I2", "I3", "I4", "I5", "I6"),
        fields=("certificateName", "certificateHolder", "KZ_XM", "KZ_XB"),
        masked_fields=("certificateHolderCode", "KZ_GMSFHM"),
        file_formats=("ofd", "pdf"),
        allow_original=True,
    )


def scene() -> Scene:
    return Scene(
        scene_code=SCENE,
        scene_name="企业开办（测试）",
        items=(SceneItem(item_code=ITEM, item_name="企业设立登记"),),
        use_org_code=ORG,
        use_org_name="企业服务中心（测试）",
        applications=(APPLICATION,),
        purposes=(PURPOSE,),
        purpose_text="办理企业开办事项，核对所持证照",
        legal_basis=LegalBasis(kind=Basis.STATUTORY, text="测试用"),
        consent=ConsentRule(mode=ConsentMode.NONE),
        types=(granted(),),
        limits=Limits(per_day=1_000),
        retention=Retention(days=30),
        valid_from=LONG_AGO,
        valid_to=FAR_AHEAD,
        service_code=SceneCode(source_provinces=("31", PROVINCE)),
    )


def consent(now_ms: int) -> Consent:
    """What the holder agreed to just now, once, for the scenario's type; sealed to nobody."""
    return Consent(
        id=f"{1:032x}",
        iss="31",
        mode=ConsentMode.ONLINE,
        scene=SCENE,
        node=NODE,
        application=APPLICATION,
        org=ORG,
        types=(CARD,),
        holder={},
        iat=now_ms - 1_000,
        exp=now_ms + 60_000,
    )


def bodies() -> tuple[Body, ...]:
    """The application, the catalogue and the scenario; parties come with their keys."""
    return application(), entry(CARD), entry(LICENCE), scene()


def record_of(body: Body, version: int = 1) -> tuple[str, bytes]:
    """The record's key and its exact bytes."""
    record = Record(kind=_KINDS[type(body)], id=body.id, version=version, body=msgspec.Raw(_encode(body)))
    return record.key, _encode(record)


def records_of(some: Iterable[Body], version: int = 1) -> dict[str, bytes]:
    return dict(record_of(body, version) for body in some)


def manifest_of(records: Mapping[str, bytes]) -> Manifest:
    """The first manifest over these records."""
    return Manifest(
        version=1,
        previous=0,
        count=len(records),
        root=RecordTree(records).root(),
        changed={key: digest_of(value) for key, value in records.items()},
        issued_at=LONG_AGO,
        expires_at=FAR_AHEAD,
    )


def next_manifest(manifest: Manifest, records: Mapping[str, bytes], changed: Mapping[str, bytes]) -> Manifest:
    """The manifest that brings `changed` on top, and makes `records`."""
    return replace(
        manifest_of(records),
        version=manifest.version + 1,
        previous=manifest.version,
        changed={key: digest_of(value) for key, value in changed.items()},
    )


def signed(manifest: Manifest, keys: KeyFile) -> bytes:
    return sign_compact(KeySigner(keys.signing), _encode(manifest))


def compiled(*some: Body) -> Snapshot:
    """A snapshot of these bodies, as if it had been verified."""
    records = records_of(some or bodies())
    return Snapshot(manifest_of(records), records)
