"""The filing (申请) of a scenario and the signed transitions that move it (DOMAIN §8.2, §8.3, design choice)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from schemas.jose import b64
from schemas.kinds import Kind
from schemas.scenes import Scene
from schemas.suites import sha256

INTAKE_TYPE, REFUSAL_TYPE = "certlane-intake", "certlane-refusal"  # `typ` of their JWS
UNCHANGED = "unchanged"  # a refusal's code: all that was asked for is so already
_encode = msgspec.json.Encoder().encode

_Name = Annotated[str, Meta(min_length=1, max_length=128)]
Reason = Annotated[str, Meta(max_length=500)]


class State(StrEnum):
    """Where a scenario stands; who is rejected is a draft again, and EXPIRED is only ever computed."""

    DRAFT = "DRAFT"
    SUBMITTED = "SUBMITTED"
    PROVINCE_CHECKED = "PROVINCE_CHECKED"
    SOURCE_REVIEW = "SOURCE_REVIEW"
    APPROVED = "APPROVED"
    PUBLISHED = "PUBLISHED"
    SUSPENDED = "SUSPENDED"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class Action(StrEnum):
    """What a party may ask the registrar to do; `apply` puts parties, applications and the catalogue."""

    APPLY = "apply"
    SUBMIT = "submit"
    CHECK = "check"
    REVIEW = "review"
    APPROVE = "approve"
    PUBLISH = "publish"
    SUSPEND = "suspend"
    REVOKE = "revoke"
    ROLLBACK = "rollback"
    WITHDRAW = "withdraw"  # a consent, by the province that issued it, when its holder takes it back


class Draft(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What an applicant files: the scenario as it should stand, and why each field of each type is needed."""

    scene: Scene
    org_proof: _Name  # what proves the organisation, by reference
    security_level: Annotated[int, Meta(ge=1, le=5)]  # 等保 of the using system
    expected_per_day: Annotated[int, Meta(ge=0)]
    justifications: dict[str, dict[str, _Name]]  # type code -> field -> why
    attachments: tuple[_Name, ...] = ()

    @property
    def digest(self) -> str:
        """What a party that decides upon this draft names it by (base64url)."""
        return b64(sha256(_encode(self)))

    @property
    def sources(self) -> tuple[str, ...]:
        """Whose yes it needs, in order."""
        return sources_of(self.scene)


def sources_of(scene: Scene) -> tuple[str, ...]:
    """The provinces a scenario takes from, in order."""
    code = scene.service_code.source_provinces if scene.service_code else ()
    return tuple(sorted({*code, *(one for kind in scene.types for one in kind.source_provinces)}))


class Step(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One accepted transition: by whom, when (unix ms), in which intake, and the state it led to."""

    action: Action
    by: _Name
    time: int
    intake: str
    state: State
    accept: bool = True
    reason: Reason = ""


class Filing(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One scenario's filing: its latest draft, whose it is, where that stands, who reviewed it, and its change log.

    `state` is the draft's and ends with PUBLISHED; what became of the scenario in force says its own record. `steps`
    are the latest; all of them lie on the intake topic.
    """

    applicant: _Name
    state: State
    draft: Draft
    reviews: dict[str, Step] = field(default_factory=dict)  # by source province, of this draft
    steps: tuple[Step, ...] = ()

    @property
    def id(self) -> str:
        return self.draft.scene.scene_code


class Wanted(Struct, frozen=True, kw_only=True):
    """A record as somebody wants it to be."""

    kind: Kind
    id: str
    body: msgspec.Raw


class Transition(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One wish of a party; which members it needs follows from its action.

    `about` is what the party has looked at: the digest of the draft, or the version of the record in force, so that
    a decision never falls upon something else.
    """

    action: Action
    key: Annotated[str, Meta(max_length=160)] = ""  # the scenario's code; rollback: a record's; withdraw: a consent's
    accept: bool = True
    reason: Reason = ""
    about: Annotated[str, Meta(max_length=64)] = ""
    draft: Draft | None = None
    records: tuple[Wanted, ...] = ()
    version: int = 0
    until: int = 0


class Intake(Struct, frozen=True, kw_only=True):
    """What one party signs and puts onto the intake topic: all of it is taken, or none of it."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    time: int
    by: _Name
    transitions: Annotated[tuple[Transition, ...], Meta(min_length=1, max_length=1_000)]


class Refused(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the registrar signs when it does not take an intake: which, why in Chinese and English, when (unix ms)."""

    intake: str
    code: str
    reason: str
    time: int
