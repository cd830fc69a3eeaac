"""docs/lot.md proven: a client in another language, built on the page alone, and ours understand each other."""

import shutil
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.items import decode_request
from schemas.lot import WireRecord
from tests.unit.parties import KEYS, NODE, NOW, PROVINCE, envelope, lot, receive
from tests.vectors.making import FOLDER, NAMES

CLIENT = Path(__file__).parent / "LotClient.java"
JAVA = shutil.which("java")

pytestmark = pytest.mark.skipif(JAVA is None, reason="the client of docs/lot.md needs `java` (JDK 17 or later)")


def run(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the client answers to these jobs."""
    command = [str(JAVA), "-Xshare:auto", "-XX:TieredStopAtLevel=1", str(CLIENT)]
    done = subprocess.run(command, input=msgspec.json.encode(jobs), capture_output=True, timeout=120, check=False)
    if b"jdk.compiler" in done.stderr:
        pytest.skip("this Java is a runtime without a compiler")
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.json.decode(done.stdout, type=list[dict[str, Any]])


def jwk(party: str, use: str) -> dict[str, Any]:
    keys: dict[str, Any] = msgspec.to_builtins(KEYS[party])
    key: dict[str, Any] = keys[use]
    return key


def opening(record: WireRecord) -> dict[str, Any]:
    return {
        "do": "open",
        "me": PROVINCE,
        "sealingKey": jwk(PROVINCE, "sealing"),
        "senders": {NODE: jwk(NODE, "signing")},
        "headers": [(name, value.decode()) for name, value in record.headers],
        "value": b64encode(record.value).decode(),
    }


def of_vector(vector: dict[str, Any]) -> dict[str, Any]:
    inputs = vector["inputs"]
    return {
        "do": "open",
        "me": inputs["recipient"]["id"],
        "sealingKey": inputs["recipient"]["sealingKey"],
        "senders": {inputs["sender"]["id"]: inputs["sender"]["signingKey"]},
        "headers": vector["expected"]["headers"],
        "value": vector["expected"]["value"],
    }


def test_lot_client() -> None:
    """The client opens and rebuilds every vector, opens our lot, refuses a changed one, and we open a lot it made."""
    vectors = [msgspec.json.decode((FOLDER / f"{name}.json").read_bytes()) for name in NAMES]
    ours = lot(['照面信息 "\\'.encode(), b"{}", b""])
    changed = ours._replace(value=ours.value[:-1] + bytes([ours.value[-1] ^ 1]))
    item = vectors[0]["inputs"]["items"][0]
    fresh = {
        "do": "build",
        "sender": {"id": NODE, "signingKey": jwk(NODE, "signing")},
        "recipient": {"id": PROVINCE, "sealingKey": jwk(PROVINCE, "sealing")},
        "headers": msgspec.to_builtins(envelope(3)),
        "items": [item] * 3,
    }
    fresh["headers"] |= {"ce_specversion": "1.0", "content-type": "application/vnd.certlane.lot"}
    jobs = [*map(of_vector, vectors), *({"do": "build", **vector["inputs"]} for vector in vectors)]
    answers = run([*jobs, opening(ours), opening(changed), fresh])

    for vector, opened, built in zip(vectors, answers[: len(NAMES)], answers[len(NAMES) : 2 * len(NAMES)], strict=True):
        inputs, expected = vector["inputs"], vector["expected"]
        assert (opened["items"], opened["salts"]) == (inputs["items"], inputs["salts"])
        assert (opened["root"], opened["evidence"]) == (expected["root"], inputs.get("evidence"))
        assert built == {"headers": expected["headers"], "value": expected["value"]}

    of_ours, of_changed, made = answers[2 * len(NAMES) :]
    assert of_ours["items"] == ['照面信息 "\\', "{}", ""]
    assert "body" in of_changed["refused"]
    record = WireRecord([(name, text.encode()) for name, text in made["headers"]], b64decode(made["value"]))
    entries = receive(record, now_ms=NOW).items
    assert [entry.body.decode() for entry in entries] == [item] * 3
    assert len({entry.salt for entry in entries}) == 3
    assert decode_request(entries[0].body).interface == "I4"
