"""A node, a province and a stranger, with the real registry snapshot between them; lots from one to the other."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from broker.bus.keys import KeyFile, KeyOpener, KeySigner, Sealer
from broker.registry.snapshot import Snapshot
from schemas.jose import b64, unb64
from schemas.kinds import Kind
from schemas.lot import REQUEST_TYPE, Envelope, Frames, WireRecord, frame
from schemas.registry import Manifest, Party, PartyKey, Record
from schemas.suites import ED, new_keys
from schemas.wire import OpenLot, Sealing, check_open, open_lot, pack, parse_headers, sign_compact

NOW: Final = 1_767_225_600_000
HOUR: Final = 3_600_000
NODE, PROVINCE, STRANGER = "31-demo", "32", "33-other"


def keys_of(party: str) -> KeyFile:
    signing, sealing = new_keys()
    return KeyFile(party=party, signing=signing, sealing=sealing)


KEYS: Final = {party: keys_of(party) for party in (NODE, PROVINCE, STRANGER)}
SIGNERS: Final = {party: KeySigner(keys.signing) for party, keys in KEYS.items()}
OPENERS: Final = {party: KeyOpener(keys.sealing) for party, keys in KEYS.items()}
SEALER: Final = Sealer()


def snapshot(**changes: Any) -> Snapshot:
    """The registry with the node and the province; `changes` are of every key's record."""
    records = {}
    for party, kind in ((NODE, "node"), (PROVINCE, "province")):
        keys = KEYS[party]
        entries = [
            replace(PartyKey(jwk=jwk.public, not_before=NOW - HOUR, not_after=NOW + HOUR), **changes)
            for jwk in (keys.signing, keys.sealing)
        ]
        body = Party(id=party, kind=kind, name=party, keys=tuple(entries))
        record = Record(kind=Kind.PARTY, id=party, version=1, body=msgspec.Raw(msgspec.json.encode(body)))
        records[record.key] = msgspec.json.encode(record)
    manifest = Manifest(
        version=1, previous=0, count=2, root="", changed={}, issued_at=NOW - HOUR, expires_at=NOW + HOUR
    )
    return Snapshot(manifest, records)


SNAPSHOT: Final = snapshot()


def envelope(count: int, **changes: str) -> Envelope:
    made = Envelope(
        ce_id="0123456789abcdef" * 2,
        ce_type=REQUEST_TYPE,
        ce_source=NODE,
        ce_time="2026-01-01T00:00:00.000Z",
        ce_deadline=str(NOW + 60_000),
        ce_items=str(count),
        ce_replyto=f"certlane.reply.{NODE}/7",
    )
    return replace(made, **changes)


def sealing_for(party: str) -> Sealing:
    return SEALER.next(party, KEYS[party].sealing.public)


def lot(
    bodies: Sequence[bytes] = (b'{"id":"1"}', b"{}"),
    *,
    to: str = PROVINCE,
    by: str = NODE,
    evidence: bytes | None = None,
    frames: Frames | None = None,
    **headers: str,
) -> WireRecord:
    """A signed and sealed lot of these items; `headers` replace what the envelope says."""
    frames = frames or frame(bodies, ED)
    return pack(
        envelope(len(frames.leaves), **headers),
        frames,
        signer=SIGNERS[by],
        sealing=sealing_for(to),
        evidence=evidence,
    )


def receive(
    record: WireRecord,
    *,
    me: str = PROVINCE,
    event_type: str = REQUEST_TYPE,
    registry: Snapshot = SNAPSHOT,
    now_ms: int = NOW,
) -> OpenLot:
    """All checks of a lot in their order, as a worker makes them; raises LotError."""
    opened, signature, sealed = parse_headers(record.headers)
    check_open(opened, record.value, event_type, now_ms)
    return open_lot(opened, signature, sealed, record.value, me=me, keys=registry, opener=OPENERS[me], now_ms=now_ms)


def with_header(record: WireRecord, name: str, value: bytes) -> WireRecord:
    return record._replace(headers=[(key, value if key == name else old) for key, old in record.headers])


def header(record: WireRecord, name: str) -> bytes:
    return next(value for key, value in record.headers if key == name)


def claims_of(record: WireRecord) -> dict[str, Any]:
    """What was signed, as JSON members, to be changed and signed again."""
    payload = header(record, "signature").split(b".")[1]
    claims: dict[str, Any] = msgspec.json.decode(unb64(payload))
    return claims


def signed_again(record: WireRecord, payload: bytes, by: str = NODE) -> WireRecord:
    """The same lot with another signed payload."""
    return with_header(record, "signature", sign_compact(SIGNERS[by], payload))


def lot_by_hand(plaintext: bytes, root: bytes, count: int, **members: Any) -> WireRecord:
    """A lot as another program may make it: `members` are added to, or replace those of, the protected header."""
    sealing = sealing_for(members.get("to", PROVINCE))
    epk = {"kty": "OKP", "crv": "X25519", "x": sealing.ephemeral.x}
    protected: dict[str, Any] = {"alg": ED.seal_alg, "enc": ED.seal_enc, "kid": sealing.kid, "epk": epk}
    protected |= {"lot": envelope(count).ce_id, "from": NODE, "to": PROVINCE} | members
    aad = b64(msgspec.json.encode(protected)).encode()
    seal = b".".join((aad, b64(sealing.encrypted_key).encode(), b64(sealing.nonce).encode()))
    value = sealing.cipher.encrypt(sealing.nonce, plaintext, aad)
    made = lot([b"x"] * count)
    claims = claims_of(made) | {"root": b64(root), "body": b64(ED.digest(value))}
    return with_header(signed_again(made._replace(value=value), msgspec.json.encode(claims)), "seal", seal)
