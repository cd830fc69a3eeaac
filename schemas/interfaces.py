"""The seven interfaces, one table: routes, OpenAPI, worker dispatch and tests come from it (DESIGN §6, DOMAIN §4)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from msgspec import Struct

from schemas import answers, sharing


class Subject(StrEnum):
    """By what a certificate is asked for: it decides which provinces are asked and what the store looks up."""

    IDENTIFIER = "identifier"
    HOLDER = "holder"
    FILE = "file"
    CODE = "code"


class Interface(NamedTuple):
    """One interface.

    `required` are attributes of `request` that must not be absent, null or empty (12), "a|b" at least one of them;
    `aliases` are other names callers use, lower case, for a name of `request`.
    """

    key: str
    operation: str
    name: str
    request: type[sharing.Asked]
    answer: type[Struct]
    subject: Subject
    required: tuple[str, ...]
    aliases: Mapping[str, str] = MappingProxyType({})

    @property
    def path(self) -> str:
        return f"/v1/{self.operation}"


_HOLDER = ("holder_code", "holder_type_code")
_HOLDER_AND_TYPE = (*_HOLDER, "type_code|type_name")
_ROWS = (
    Interface(
        "I1",
        "SearchCertificate",
        "电子证照检索",
        sharing.SearchRequest,
        answers.SearchAnswer,
        Subject.HOLDER,
        _HOLDER,
    ),
    Interface(
        "I2",
        "GetCertificateFileByCertificateID",
        "基于证照标识下载证照文件",
        sharing.FileByIdRequest,
        answers.FileAnswer,
        Subject.IDENTIFIER,
        ("certificate_id",),
    ),
    Interface(
        "I3",
        "GetCertificateFileByHolder",
        "基于持证主体下载证照文件",
        sharing.FileByHolderRequest,
        answers.FileAnswer,
        Subject.HOLDER,
        _HOLDER_AND_TYPE,
    ),
    Interface(
        "I4",
        "GetCertificateDataByCertificateID",
        "基于证照标识获取证照信息",
        sharing.DataByIdRequest,
        answers.DataAnswer,
        Subject.IDENTIFIER,
        ("certificate_id",),
    ),
    Interface(
        "I5",
        "GetCertificateDataByHolder",
        "基于持证主体获取证照信息",
        sharing.DataByHolderRequest,
        answers.DataAnswer,
        Subject.HOLDER,
        _HOLDER_AND_TYPE,
    ),
    Interface(
        "I6",
        "VerifyCertificateFile",
        "电子证照文件核验",
        sharing.VerifyFileRequest,
        answers.VerdictAnswer,
        Subject.FILE,
        ("type_code", "content_type", "content"),
        MappingProxyType({"certificatetypecode": "certTypeCode", "usecause": "useFor"}),
    ),
    Interface(
        "I7",
        "VerifyServiceCode",
        "政务服务码验证",
        sharing.VerifyCodeRequest,
        answers.CodeAnswer,
        Subject.CODE,
        ("code", "pos", "use"),
        MappingProxyType({"servicecode": "certQrCode"}),
    ),
)

INTERFACES = {row.key: row for row in _ROWS}
