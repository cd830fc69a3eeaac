"""Where the demonstration's certificates are issued, and the made-up codes of the bodies that issue them."""

from typing import Final, NamedTuple

from deploy.demo.types import TYPES, DemoType
from schemas.checks import uscc_check


class Place(NamedTuple):
    """An issuing area: the one-character name of its province, its six-digit code, its name."""

    short: str
    area: str
    city: str


PLACES: Final = {
    "31": (
        Place("沪", "310101", "上海市黄浦区"),
        Place("沪", "310104", "上海市徐汇区"),
        Place("沪", "310115", "上海市浦东新区"),
    ),
    "32": (Place("苏", "320100", "南京市"), Place("苏", "320500", "苏州市"), Place("苏", "320600", "南通市")),
    "33": (Place("浙", "330100", "杭州市"), Place("浙", "330200", "宁波市"), Place("浙", "330400", "嘉兴市")),
    "34": (Place("皖", "340100", "合肥市"), Place("皖", "340200", "芜湖市"), Place("皖", "340500", "马鞍山市")),
}


def issuer(place: Place, kind: DemoType) -> tuple[str, str]:
    """Return name and USCC of the body that issues such certificates there; the area in the USCC routes a request."""
    first17 = f"11{place.area}MB99{TYPES.index(kind):05d}"
    return f"{place.city}{kind.issuing_organ}（演示）", first17 + uscc_check(first17)
