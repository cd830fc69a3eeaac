"""The people and bodies of the demonstration: one pool, common to the four provinces, none of them real.

Their codes are right in every check character, and their area 990xxx is assigned to nobody (DOMAIN §9.4).
"""

import random
from datetime import date, timedelta
from functools import cache
from typing import Final, NamedTuple

from schemas.checks import citizen_check, uscc_check
from schemas.holders import CITIZEN_ID_TYPE, USCC_TYPE, HolderCategory
from schemas.regions import PROVINCES

PERSONS: Final = 2_000
ORGANISATIONS: Final = 1_200

_SURNAMES: Final = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨"
_GIVEN: Final = "安博晨德恩帆广涵佳凯岚明宁平启然思彤文欣雅宜远泽"
_WORDS: Final = ("示例", "演示", "样本", "模拟", "虚构")
_GOODS: Final = ("云帆", "晨光", "远泽", "明德", "宜佳", "恒启")
_TRADES: Final = ("科技", "贸易", "物流", "建筑", "食品", "服装")
_FIRST_BIRTH: Final = date(1950, 1, 1)
_BIRTH_DAYS: Final = 16_436  # to the end of 1994: everyone is old enough for every certificate


class DemoHolder(NamedTuple):
    """One holder (持证主体): its code with the code's type and its home province; a body has neither sex nor birth."""

    category: HolderCategory
    name: str
    code: str
    type_code: str
    home: str
    sex: str = ""
    born: str = ""


def seeded(*parts: object) -> random.Random:
    """Return a source of draws that is the same for the same parts, on every machine and version."""
    return random.Random("/".join(map(str, parts)))  # noqa: S311 - made-up data, to be the same each time; no secret


@cache
def demo_holders(seed: int) -> dict[HolderCategory, tuple[DemoHolder, ...]]:
    """Return the whole pool; every code in it is unique."""
    draw = seeded(seed, "holders")
    return {
        HolderCategory.PERSON: tuple(_person(draw, place) for place in range(PERSONS)),
        HolderCategory.ORGANISATION: tuple(_organisation(draw, place) for place in range(ORGANISATIONS)),
    }


def person_name(draw: random.Random, surname: str = "") -> str:
    """Return a made-up name of two or three characters, with this surname if one is given."""
    return (surname or draw.choice(_SURNAMES)) + "".join(draw.choices(_GIVEN, k=draw.choice((1, 2, 2))))


def _person(draw: random.Random, place: int) -> DemoHolder:
    born = _FIRST_BIRTH + timedelta(days=draw.randrange(_BIRTH_DAYS))
    sequence = draw.randrange(1_000)
    first17 = f"990{place % 1_000:03d}{born:%Y%m%d}{sequence:03d}"
    return DemoHolder(
        category=HolderCategory.PERSON,
        name=person_name(draw),
        code=first17 + citizen_check(first17),
        type_code=CITIZEN_ID_TYPE,
        home=PROVINCES[place % len(PROVINCES)],
        sex="男" if sequence % 2 else "女",  # GB 11643: the seventeenth digit is odd for men
        born=born.isoformat(),
    )


def _organisation(draw: random.Random, place: int) -> DemoHolder:
    first17 = f"91990{place % 1_000:03d}MA9{place:06d}"
    return DemoHolder(
        category=HolderCategory.ORGANISATION,
        name=f"{draw.choice(_WORDS)}{draw.choice(_GOODS)}{draw.choice(_TRADES)}{place + 1}号有限公司",
        code=first17 + uscc_check(first17),
        type_code=USCC_TYPE,
        home=PROVINCES[place % len(PROVINCES)],
    )
