"""The four provinces of the exchange (GB/T 2260; DOMAIN §5.5)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec


class Region(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One province: the two digits that name its lane, its six-digit area code, its name."""

    province: str
    code: str
    name: str


REGIONS: Final[tuple[Region, ...]] = (
    Region(province="31", code="310000", name="上海市"),
    Region(province="32", code="320000", name="江苏省"),
    Region(province="33", code="330000", name="浙江省"),
    Region(province="34", code="340000", name="安徽省"),
)

BY_PROVINCE: Final[Mapping[str, Region]] = MappingProxyType({region.province: region for region in REGIONS})
BY_CODE: Final[Mapping[str, Region]] = MappingProxyType({region.code: region for region in REGIONS})
PROVINCES: Final[tuple[str, ...]] = tuple(BY_PROVINCE)


def province_of_area(code: str) -> str | None:
    """Return the province an area code lies in, None for any other area or a malformed code.

    Both written forms are taken: six digits, and twelve (six more behind them, zeros above the street level).
    """
    # isdigit alone is true of digits of other scripts
    if len(code) not in {6, 12} or not (code.isascii() and code.isdigit()):
        return None
    return code[:2] if code[:2] in BY_PROVINCE else None
