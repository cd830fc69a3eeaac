"""What is asked and answered, typed: the common head and the data of each interface (DOMAIN §3.4, §4)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from schemas.certificates import SurfaceField

Short = Annotated[str, Meta(max_length=128)]
Text = Annotated[str, Meta(max_length=200)]  # 200 characters: the limit seen for a purpose (DOMAIN §3.4)
_FIELD_NAMES = Annotated[tuple[Short, ...], Meta(max_length=128)]
_REGIONS = Annotated[tuple[Annotated[str, Meta(max_length=12)], ...], Meta(max_length=32)]


class Head(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """Who asks, for what, in which scenario: the five accountability elements (五要素), scene and purpose."""

    scene_code: Short | None = None
    org_name: Text | None = None
    org_code: Short | None = None
    username: Short | None = None
    user_code: Short | None = None
    item_name: Text | None = None
    item_code: Short | None = None
    business_code: Short | None = None
    use_for: Text | None = None
    auth_code: Short | None = None
    region_code: Short | None = None


class CertificateDataByIdRequest(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I4: data of the certificate with this identifier; `fields` narrows what the scenario grants (design choice)."""

    certificate_id: Annotated[str, Meta(max_length=256)] | None = field(name="certificateID", default=None)
    use_for: Text | None = None
    fields: _FIELD_NAMES | None = None
    region_codes: _REGIONS | None = None


class CertificateData(Struct, gc=False, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """I4, I5: what a source tells of one certificate; a name that was not granted is absent (DOMAIN §4, I4)."""

    certificate_id: str = field(name="certificateID")
    certificate_type_code: str
    certificate_status: str
    certificate_type: str | None = None
    certificate_name: str | None = None
    certificate_number: str | None = None
    certificate_holder: str | None = None
    certificate_holder_code: str | None = None
    certificate_holder_type: str | None = None
    certificate_area_code: str | None = None
    issue_dept: str | None = None
    issue_dept_code: str | None = None
    issue_date: str | None = None
    certificate_validate_start: str | None = None
    certificate_validate_end: str | None = None
    surface: tuple[SurfaceField, ...] | None = None


ALWAYS_TOLD = ("certificateID", "certificateTypeCode", "certificateStatus")
GRANTABLE = frozenset(CertificateData.__struct_encode_fields__) - {*ALWAYS_TOLD, "surface"}
"""Names of the answer that a scenario may grant; columns of a type's face come on top."""


class CertificateDataAnswer(Struct, gc=False, frozen=True, kw_only=True, rename="camel"):
    """`data` of a successful I4 or I5; `withheld` names what the scenario does not grant (design choice)."""

    total: int
    data_list: tuple[CertificateData, ...]
    withheld: tuple[str, ...] = ()
