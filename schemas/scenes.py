"""The scenario (用证清单): who may ask for what, of whom, for what and how often (DOMAIN §8.2, design choice)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

_Name = Annotated[str, Meta(min_length=1, max_length=128)]

# The fixed list of purposes (design choice: no list of the standard was obtainable).
PURPOSES = {
    "GOV_SERVICE": "政务服务事项办理",
    "BUSINESS_REGISTRATION": "市场主体登记办理",
    "REAL_ESTATE": "不动产登记办理",
    "QUALIFICATION": "资质资格审查",
    "SUPERVISION": "行政监管与执法检查",
}


class SceneItem(Struct, frozen=True, kw_only=True, rename="camel"):
    item_code: _Name
    item_name: _Name


class SceneType(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """What a scenario grants of one type: nothing that is not named here.

    `by_holder_only`: asked for by its holder, it needs no certificate number.
    """

    type_code: _Name
    source_provinces: tuple[_Name, ...]
    interfaces: tuple[_Name, ...]
    fields: tuple[_Name, ...]
    masked_fields: tuple[_Name, ...] = ()
    file_formats: tuple[_Name, ...] = ()
    allow_original: bool = False
    by_holder_only: bool = False
    copy_max_days: Annotated[int, Meta(ge=1, le=90)] = 90  # of an annotated copy (加注件)


class SceneCode(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Whose service codes (政务服务码) a scenario may verify, and what of the holder it gets unmasked."""

    source_provinces: tuple[_Name, ...]
    fields: tuple[_Name, ...] = ()


class HolderKind(StrEnum):
    PERSON = "person"
    ORGANISATION = "organisation"


class Basis(StrEnum):
    """What the use of somebody's certificates rests on."""

    STATUTORY = "STATUTORY"
    CONSENT = "CONSENT"


class LegalBasis(Struct, frozen=True, kw_only=True, rename="camel"):
    """`text` names law and article, or what the holder consents to."""

    kind: Basis
    text: _Name


class ConsentMode(StrEnum):
    """How a holder says yes: by showing a code (亮码), in an app, through an agent, or by statute not at all."""

    CODE = "CODE"
    ONLINE = "ONLINE"
    AGENT = "AGENT"
    NONE = "NONE"


class ConsentRule(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Which consent a scenario needs; `level` is the least real-name level (实名等级) of an ONLINE consent."""

    mode: ConsentMode
    ttl_seconds: Annotated[int, Meta(ge=1, le=31_622_400)] = 600
    one_time: bool = True
    level: Annotated[int, Meta(ge=0, le=4)] = 0


_Clock = Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class TimeOfDay(Struct, frozen=True, kw_only=True, rename={"start": "from", "end": "to"}):
    """Hours in Asia/Shanghai, HH:MM, from inclusive, to exclusive."""

    start: _Clock
    end: _Clock


_Count = Annotated[int, Meta(ge=0)]


class Limits(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """How much each source province grants of a scenario; days and hours are those of Asia/Shanghai."""

    per_day: _Count
    per_hour: _Count | None = None
    per_holder_per_day: _Count | None = None
    time_of_day: TimeOfDay | None = None
    max_records: Annotated[int, Meta(ge=1, le=200)] | None = None  # of one request


class Retention(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """How long the user may keep what it got, in days, and whether in its archive too."""

    days: _Count
    archive: bool = False


class SceneStatus(StrEnum):
    PUBLISHED = "PUBLISHED"
    SUSPENDED = "SUSPENDED"
    REVOKED = "REVOKED"


class Scene(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """One entry of the 用证清单 (DOMAIN §8.2); the window in unix ms, from inclusive, to exclusive.

    `status` and `suspended_by` are the life cycle's, nobody writes them by hand.
    """

    scene_code: _Name
    scene_name: _Name
    items: Annotated[tuple[SceneItem, ...], Meta(min_length=1)]
    use_org_code: _Name
    use_org_name: _Name
    applications: tuple[_Name, ...]
    purposes: tuple[_Name, ...]  # codes of the fixed list
    purpose_text: _Name
    legal_basis: LegalBasis
    consent: ConsentRule
    types: tuple[SceneType, ...]
    limits: Limits
    retention: Retention
    valid_from: int
    valid_to: int
    status: SceneStatus = SceneStatus.PUBLISHED
    suspended_by: str = ""
    service_code: SceneCode | None = None
    holder_kinds: tuple[HolderKind, ...] = (HolderKind.PERSON, HolderKind.ORGANISATION)
    agent_allowed: bool = False

    @property
    def id(self) -> str:
        return self.scene_code
