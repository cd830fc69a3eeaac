"""The labels of our metrics: closed sets, kept small, and how a call site's value becomes one of theirs."""

from __future__ import annotations

import re

from broker.bus.families import Form, Label
from schemas.answers import SourceState
from schemas.interfaces import INTERFACES, Subject
from schemas.regions import PROVINCES
from schemas.registry import Distrust
from schemas.statuses import STATUSES

GATEWAY, WORKER, FOLLOWER, REGISTRAR = "gateway", "worker", "follower", "registrar"
ROLES = (GATEWAY, WORKER, FOLLOWER, REGISTRAR)
MOST_PROVINCES = 32  # for what an exchange may grow to, whatever it is today

# Status codes by class: (from, to, class); what lies in none of these is "other".
_CLASSES = (
    (0, 0, "ok"),
    (10, 10, "empty"),
    (11, 13, "caller"),
    (21, 23, "invalid"),
    (102, 113, "caller"),
    (2001, 2999, "caller"),
    (3001, 3999, "scenario"),
    (4001, 4999, "caller"),
    (6001, 6999, "code"),
    (7001, 7001, "unavailable"),
    (7002, 7002, "late"),
    (7003, 7003, "partial"),
)
_JUDGEMENTS = {
    "ok": SourceState.ANSWERED,
    "empty": SourceState.ANSWERED,
    "invalid": SourceState.ANSWERED,
    "unavailable": SourceState.UNAVAILABLE,
    "late": SourceState.UNAVAILABLE,
}


def outcome_of(status: int) -> str:
    """The class of a status code."""
    return next((name for first, last, name in _CLASSES if first <= status <= last), "other")


def judgement_of(status: int) -> SourceState:
    """What a province made of an item: it told what it knows, it could not, or it refused."""
    return _JUDGEMENTS.get(outcome_of(status), SourceState.REFUSED)


# Why the registry was not believed, by where one looks then; the log line says the reason itself and which record.
_DISTRUSTS = {
    Distrust.SIGNER: "signature",
    Distrust.SIGNATURE: "signature",
    Distrust.INTAKE: "signature",
    Distrust.ROLLED_BACK: "version",
    Distrust.GAP: "version",
    Distrust.EXPIRED: "version",
    Distrust.STALE: "version",
}


def distrust_of(reason: Distrust) -> str:
    """The class of a reason: every process tells it, so there are few."""
    return _DISTRUSTS.get(reason, "records")


def _interface_or_other(key: str) -> str:
    return key if key in INTERFACES else "other"  # an item that could not be typed


INTERFACE = Label("interface", tuple(INTERFACES))
ITEM_INTERFACE = Label("interface", (*INTERFACES, "other"), fold=_interface_or_other)
OUTCOME = Label("outcome", (*dict.fromkeys(name for *_, name in _CLASSES), "other"), fold=outcome_of)
JUDGEMENT = Label("outcome", (SourceState.ANSWERED, SourceState.REFUSED, SourceState.UNAVAILABLE), fold=judgement_of)
STATUS = Label("status", tuple(map(str, STATUSES)))
PROVINCE = Label("province", PROVINCES, {GATEWAY: MOST_PROVINCES, WORKER: 1})
STATE = Label("state", tuple(SourceState))  # of a source (DESIGN §6)
KIND = Label("kind", ("request", "reply"))
PART = Label("part", ("redis", "kafka", "clock", "registry", "rebuilding", "answers"))
DOOR = Label("reason", ("rate", "lane", "agents", "files", *PART.listed))
TOPIC = Label(
    "topic", Form(re.compile(r"certlane\.((request|reply)\.[0-9a-z-]{1,64}|presence)")), {GATEWAY: 2, WORKER: 1}
)
QUARANTINE = Label(
    "reason",
    (
        *("header", "version", "form", "frame", "items", "size", "root", "body", "seal", "recipient"),
        *("sender", "key", "signature", "deadline", "expired", "replayed", "replyto", "defect"),
    ),
)
STAGE = Label("stage", ("open", "judge", "effects", "fetch", "release", "record", "reply"))  # DESIGN §8
EXPIRY = Label("stage", ("lane", "open", "effects", "record"))
CAUSE = Label("cause", ("second", "late", "stranger"))
DISTRUST = Label("reason", ("records", "signature", "version"), fold=distrust_of)
LOOKUP = Label("lookup", tuple(str(subject) for subject in Subject))
FOUND = Label("outcome", ("found", "nothing", "failed"))
SENT = Label("outcome", ("sent", "broken", "gone", "failed"))
SEALED = Label("outcome", ("sealed", "failed"))
VERSION = Label("version", Form(re.compile(r"[0-9A-Za-z.+-]{1,32}")), dict.fromkeys(ROLES, 1))
