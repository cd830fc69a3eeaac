"""Writes the vector files again. Only for a new version of the wire: a vector that changes breaks every client."""

from hashlib import sha256
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.vectors.making import FOLDER, NAMES, Inputs, Party, Vector, b64, dumps, make

ABOUT: Final = "TEST KEYS, published here: never use them for anything else. How to read this file: docs/lot.md."
NOW: Final = 1_767_225_600_000  # 2026-01-01T00:00:00Z
DEADLINE: Final = NOW + 60_000
CERTIFICATE_ID: Final = "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U"


def some(label: str, length: int = 32) -> bytes:
    """Bytes that are the same whenever this is run."""
    return sha256(f"certlane test vector: {label}".encode()).digest()[:length]


def jwk(crv: str, private: bytes, public: bytes, **members: str) -> dict[str, str]:
    x = b64(public)
    kid = b64(sha256(f'{{"crv":"{crv}","kty":"OKP","x":"{x}"}}'.encode()).digest())  # RFC 7638
    return {"kty": "OKP", "crv": crv, "x": x, "d": b64(private), "kid": kid, **members}


def sealing_key(label: str, **members: str) -> dict[str, str]:
    private = X25519PrivateKey.from_private_bytes(some(label))
    return jwk("X25519", some(label), private.public_key().public_bytes_raw(), **members)


def party(name: str) -> Party:
    signing = Ed25519PrivateKey.from_private_bytes(some(f"{name} signing"))
    return Party(
        id=name,
        signing_key=jwk(
            "Ed25519", some(f"{name} signing"), signing.public_key().public_bytes_raw(), use="sig", alg="EdDSA"
        ),
        sealing_key=sealing_key(f"{name} sealing", use="enc", alg="ECDH-ES+A256KW"),
    )


def request_id(place: int) -> str:
    return some(f"request {place}", 16).hex()


def request(place: int) -> dict[str, Any]:
    return {
        "id": request_id(place),
        "interface": "I4",
        "application": "demo-app",
        "deadline": DEADLINE,
        "head": {
            "sceneCode": "YRD-310000-2026-00001",
            "orgName": "示例行政审批局",
            "orgCode": "11430000006122244L",
            "username": f"operator-{place:03}",
            "itemName": "示例事项",
            "itemCode": "11430000006122244L2000100000000",
            "businessCode": f"CASE-{place:06}",
            "useFor": "GOV_SERVICE",
        },
        "data": {"certificateID": CERTIFICATE_ID},
        "address": "192.0.2.7",
    }


def reply(place: int, lot: str) -> dict[str, Any]:
    told = {
        "certificateID": CERTIFICATE_ID,
        "certificateTypeCode": "11100000000013338W011",
        "certificateStatus": "VALID",
    }
    ends = [
        {"status": 0, "data": {"total": 1, "dataList": [told], "withheld": ["certificateHolder"]}},
        {"status": 3011, "message": "用途不在该场景允许范围内"},
        {"status": 10, "message": "未找到匹配的证照信息"},
    ]
    common = {"application": "demo-app", "digest": some(f"digest {place}").hex(), "deadline": DEADLINE}
    return {"id": request_id(place), **common, **ends[place], "evidence": f"32:{lot}:{place}"}


def inputs(name: str) -> Inputs:
    node, province = party("31-demo"), party("32")
    lot = some(name, 16).hex()
    is_reply = name.endswith("reply")
    count = 3 if is_reply else int(name.rpartition("-")[2])
    headers = {
        "ce_id": lot,
        "ce_type": "certlane.reply.v1" if is_reply else "certlane.request.v1",
        "ce_source": province.id if is_reply else node.id,
        "ce_time": "2026-01-01T00:00:00.000Z",
        "ce_deadline": str(DEADLINE),
        "ce_items": str(count),
        "ce_replyto": "" if is_reply else "certlane.reply.31-demo/7",
        "ce_specversion": "1.0",
        "content-type": "application/vnd.certlane.lot",
    }
    return Inputs(
        now=NOW,
        sender=province if is_reply else node,
        recipient=node if is_reply else province,
        headers={header: text for header, text in headers.items() if text},
        items=[dumps(reply(place, lot) if is_reply else request(place)) for place in range(count)],
        salts=[some(f"{name} salt {place}", 16).hex() for place in range(count)],
        content_key=some(f"{name} content key").hex(),
        ephemeral_key=sealing_key(f"{name} ephemeral key"),
        nonce=count.to_bytes(12, "big").hex(),
        evidence=b64(some("evidence record")) if is_reply else None,
    )


for vector in NAMES:
    made = inputs(vector)
    whole = Vector(about=ABOUT, inputs=made, expected=make(made))
    text = msgspec.json.format(msgspec.json.encode(whole), indent=1)
    (FOLDER / f"{vector}.json").write_bytes(text + b"\n")
