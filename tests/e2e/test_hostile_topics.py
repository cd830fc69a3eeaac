"""What strangers may put on the topics: each is refused or put aside with its reason, and the lane goes on."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from broker.bus.clock import now_ms
from broker.bus.keys import KeySigner
from schemas.lot import REPLY_TYPE, WireRecord
from schemas.suites import new_keys
from tests.e2e.conftest import Stack
from tests.e2e.kafka_client import KafkaNode

GOOD = "32 查得营业执照"


@pytest.fixture
def node(stack: Stack) -> KafkaNode:
    return KafkaNode(stack.document)


async def put_aside(node: KafkaNode, topic: str, records: list[WireRecord], count: int) -> list[str]:
    """Publish these, and the reasons of what newly came into the topic's quarantine."""
    before = len(await node.quarantine(topic))
    await node.publish([(topic, record) for record in records])
    ends = time.monotonic() + 60
    while len(found := await node.quarantine(topic)) < before + count and time.monotonic() < ends:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    return [reason for reason, _ in found[before:]]


def with_header(record: WireRecord, name: str, value: bytes) -> WireRecord:
    return WireRecord([(key, value if key == name else old) for key, old in record.headers], record.value)


async def test_a_lot_of_one_and_of_sixty_four_are_answered(node: KafkaNode) -> None:
    """A node that speaks Kafka gets one verified reply for each item of its lots."""
    one = node.item(GOOD)
    many = [node.item(name) for name in (GOOD, "32 未找到", "32 用途不符")] + [node.item(GOOD) for _ in range(61)]
    wanted = {item["id"] for item in [one, *many]}
    topic = node.provinces["32"].topic
    found = await node.exchange([(topic, node.lot("32", [one])), (topic, node.lot("32", many))], wanted)
    assert set(found) == wanted
    assert [found[item["id"]].status for item in [one, *many[:4]]] == [0, 0, 10, 3011, 0]


async def test_a_bad_lot_is_put_aside_with_its_reason(node: KafkaNode) -> None:
    """Each kind of wrong lot lies in quarantine with its reason, and the next good lot is answered."""
    topic = node.provinces["32"].topic
    good = node.lot("32", [node.item(GOOD)])
    stranger = KeySigner(new_keys()[0])
    cases = {
        "header": WireRecord([], os.urandom(300)),
        "signature": with_header(node.lot("32", [node.item(GOOD)]), "ce_time", b"2026-01-01T00:00:00Z"),
        "recipient": node.lot("33", [node.item(GOOD)]),
        "key": node.lot("32", [node.item(GOOD)], signer=stranger),
        "sender": node.lot("32", [node.item(GOOD)], ce_source="31-nobody"),
        "expired": node.lot("32", [node.item(GOOD, deadline=now_ms() - 1)]),
        "body": WireRecord(good.headers, good.value[:-40]),
        "version": node.lot("32", [node.item(GOOD)], ce_type="certlane.request.v2"),
        "items": node.lot("32", [node.item(GOOD) for _ in range(257)]),
        "replyto": node.lot("32", [node.item(GOOD)], ce_replyto="certlane.reply.31-yct/0"),
        "deadline": node.lot("32", [node.item(GOOD, deadline=now_ms() + 3_600_000)]),
    }
    reasons = await put_aside(node, topic, list(cases.values()), len(cases))
    assert sorted(reasons) == sorted(cases)  # lots are worked on side by side
    item = node.item(GOOD)
    assert (await node.exchange([(topic, node.lot("32", [item]))], {item["id"]}))[item["id"]].status == 0


async def test_a_replayed_lot_is_put_aside(node: KafkaNode) -> None:
    """The same lot at another place of the lane has no second effect: it is put aside as replayed."""
    topic, item = node.provinces["32"].topic, node.item(GOOD)
    lot = node.lot("32", [item])
    assert (await node.exchange([(topic, lot)], {item["id"]}))[item["id"]].status == 0
    assert await put_aside(node, topic, [lot], 1) == ["replayed"]


async def test_the_same_id_with_other_content_is_refused(node: KafkaNode) -> None:
    """A request id that was used for another request is refused by the province's mark (2003)."""
    topic, item = node.provinces["32"].topic, node.item(GOOD)
    assert (await node.exchange([(topic, node.lot("32", [item]))], {item["id"]}))[item["id"]].status == 0
    other = item | {"head": item["head"] | {"businessCode": "ANOTHER"}}
    assert (await node.exchange([(topic, node.lot("32", [other]))], {item["id"]}))[item["id"]].status == 2003


async def test_a_wrong_item_does_not_harm_its_neighbours(node: KafkaNode) -> None:
    """An item that cannot be read is put aside or refused; the rest of its lot is answered."""
    topic = node.provinces["32"].topic
    wrong: tuple[dict[str, Any], ...] = (
        {"data": {"certificateID": 7}},
        {"interface": "I9"},
        {"head": {"sceneCode": 7}},
        {"interface": "I" * 65},
    )
    items = [node.item(GOOD), *(node.item(GOOD, **bent) for bent in wrong), node.item(GOOD)]
    found = await node.exchange([(topic, node.lot("32", items))], {item["id"] for item in items})
    assert [found[item["id"]].status for item in items] == [0, 102, 2, 102, 102, 0]


async def test_two_megabytes_are_refused_by_kafka(node: KafkaNode) -> None:
    """No record larger than 1 MiB comes onto a lane."""
    with pytest.raises((MessageSizeTooLargeError, KafkaError)):
        await node.publish([(node.provinces["32"].topic, WireRecord([], bytes(2 << 20)))])


async def test_forged_replies_reach_nobody(stack: Stack, node: KafkaNode) -> None:
    """Junk, or a reply that no province signed, on a node's reply topic is put aside, and the node goes on."""
    forged = node.lot("32", [node.item(GOOD)], ce_type=REPLY_TYPE)
    topic = "certlane.reply.31-yct"
    reasons = await put_aside(node, topic, [WireRecord([], os.urandom(100)), forged], 2)
    assert reasons == ["header", "recipient"]
    assert stack.post(stack.body()).json()["head"]["status"] == 0
