"""The national form of an answer: names of a certificate in PascalCase, head.status 0 to 99 only (DOMAIN §3.1, §11)."""

from __future__ import annotations

from typing import Any

import orjson

from schemas import statuses
from schemas.registry import Dialect
from schemas.statuses import STATUSES

_NATIONAL_MAX = 99
_WITH_DATA = (statuses.OK, statuses.PARTIAL)  # what there is was granted; `sources` names who is missing


def national_status(status: int) -> int:
    """The national code nearest to ours; what has none is 99 (其他异常)."""
    if status in _WITH_DATA:
        return statuses.OK
    row = STATUSES.get(status)
    return row.gb if row and row.gb <= _NATIONAL_MAX else statuses.OTHER


def spoken(body: bytes, dialect: Dialect) -> bytes:
    """An encoded answer in the dialect of its application."""
    if dialect is Dialect.CERTLANE:
        return body
    told: dict[str, Any] = orjson.loads(body)
    head, data = told.get("head"), told.get("data")
    if isinstance(head, dict):
        head["status"] = national_status(head.get("status", statuses.OTHER))
        head.pop("gbStatus", None)
    if isinstance(data, dict):
        for source in data.get("sources", ()):
            source["status"] = national_status(source["status"])
        if "dataList" in data:
            data["dataList"] = _pascal(data["dataList"])
        if "withheld" in data:
            data["withheld"] = [name[:1].upper() + name[1:] for name in data["withheld"]]
    return orjson.dumps(told)


def _pascal(value: Any) -> Any:
    if isinstance(value, dict):
        return {name[:1].upper() + name[1:]: _pascal(one) for name, one in value.items()}
    return [_pascal(one) for one in value] if isinstance(value, list) else value
