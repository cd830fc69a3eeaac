"""The seven interfaces, one table: routes, OpenAPI, worker dispatch and tests come from it (DESIGN §6, DOMAIN §4)."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from schemas.sharing import CertificateDataAnswer, CertificateDataByIdRequest


class Interface(NamedTuple):
    """One interface; `request` and `answer` are None until it is typed, and then it has no route."""

    key: str
    operation: str
    name: str
    request: type[Struct] | None = None
    answer: type[Struct] | None = None
    required: tuple[str, ...] = ()  # attributes of `request` that must not be absent, null or empty (12)

    @property
    def path(self) -> str:
        return f"/v1/{self.operation}"


_ROWS = (
    Interface("I1", "SearchCertificate", "电子证照检索"),
    Interface("I2", "GetCertificateFileByCertificateID", "基于证照标识下载证照文件"),
    Interface("I3", "GetCertificateFileByHolder", "基于持证主体下载证照文件"),
    Interface(
        "I4",
        "GetCertificateDataByCertificateID",
        "基于证照标识获取证照信息",
        CertificateDataByIdRequest,
        CertificateDataAnswer,
        ("certificate_id",),
    ),
    Interface("I5", "GetCertificateDataByHolder", "基于持证主体获取证照信息"),
    Interface("I6", "VerifyCertificateFile", "电子证照文件核验"),
    Interface("I7", "VerifyServiceCode", "政务服务码验证"),
)

INTERFACES = {row.key: row for row in _ROWS}
TYPED = {row.key: row for row in _ROWS if row.request is not None}
