"""Registries and requests drawn at random, few names in them: each is near a grant, most miss it by a little."""

from random import Random
from typing import Any, Final

from tests.support_registry import CARD, LICENCE, ORG, OTHER_ORG, UNSHARED, identifier_of

Json = dict[str, Any]
NODES, PROVINCES, APPLICATIONS = ["31-yct", "31-sdk"], ["31", "32"], ["one", "two", "three"]
ORGS: Final = [ORG, OTHER_ORG]
ITEMS: Final = [f"{ORG}2000142001001", f"{ORG}2000142002001", f"{ORG}2000142003001"]
SCENES: Final = ["YRD-310000-2026-00001", "YRD-320000-2026-00001"]
TYPES: Final = [CARD, LICENCE, UNSHARED, f"{ORG}001"]
NAMES: Final = ["居民身份证", "营业执照", "某证"]
FIELDS: Final = ["KZ_XM", "KZ_ZZ", "KZ_XB", "certificateName", "issueDept", "certificateHolderCode", "KZ_NONE"]
PURPOSES: Final = ["BUSINESS_REGISTRATION", "SUPERVISION", "OTHER"]
TEXTS: Final = ["市场主体登记办理", "行政监管与执法检查", "核对所持证照"]
WITH_TYPES: Final = ["I1", "I2", "I3", "I4", "I5", "I6"]
FORMATS: Final = ["ofd", "pdf", "png"]
MODES: Final = ["CODE", "ONLINE", "AGENT", "NONE"]
HOLDERS: Final = [("A", "111"), ("B", "414"), ("C", "001"), ("A", "099")]
CASES: Final = ["TEST-1", "TEST-2"]
IDS: Final = [f"{number:032x}" for number in range(3)]
ADDRESSES: Final = ["192.0.2.7", "192.0.2.200", "198.51.100.1", "::ffff:192.0.2.7", "2001:db8::1", "nowhere", ""]
NETWORKS: Final = ["192.0.2.0/25", "192.0.2.0/24", "2001:db8::/32"]
BLANK: Final = [None, "", " ", "\t"]
NOW: Final = 1_780_000_000_000


def most(draw: Random, some: list[Any], share: float = 0.85) -> list[Any]:
    """Each of these with this probability, in their order."""
    return [one for one in some if draw.random() < share]


def maybe(draw: Random, share: float, value: Any) -> Json:
    """An optional member, there with this probability."""
    return value if draw.random() < share else {}


def a_world(draw: Random) -> Json:
    """A registry: its records as they are written, scenarios with their versions."""
    return {
        "applications": [an_application(draw, name) for name in APPLICATIONS if draw.random() < 0.95],
        "catalogue": [an_entry(draw, code) for code in sorted(TYPES) if draw.random() < 0.93],
        "scenes": [a_scene(draw, code) for code in SCENES if draw.random() < 0.97],
        "withdrawals": [{"id": f"31.{one}", "until": NOW} for one in IDS if draw.random() < 0.1],
    }


def an_application(draw: Random, name: str) -> Json:
    return {
        "id": name,
        "node": NODES[draw.random() < 0.06],
        "name": name,
        "orgCodes": most(draw, ORGS, 0.95),
        "addresses": most(draw, NETWORKS, 0.9),
        "perSecond": 1,
        **maybe(draw, 0.05, {"suspended": True}),
    }


def an_entry(draw: Random, type_code: str) -> Json:
    return {
        "typeCode": type_code,
        "typeName": draw.choice(NAMES),
        "codeVerified": True,
        "definingBody": "某机构",
        "definingBodyCode": type_code[:18],
        "definingLevel": "国家级",
        "issuingLevel": "省级",
        "validityRange": "长期",
        "holderCategory": "person",
        "provinces": most(draw, PROVINCES, 0.93),
        "interfaces": most(draw, WITH_TYPES, 0.95),
        "fields": [{"column": one, "label": one} for one in most(draw, FIELDS[:3])],
        "aliases": {one: most(draw, NAMES, 0.3) for one in PROVINCES},
    }


def a_scene(draw: Random, code: str) -> Json:
    begins = draw.choice([NOW - 1, NOW, NOW + 1]) if draw.random() < 0.15 else 0
    ends = draw.choice([NOW, NOW + 1]) if draw.random() < 0.1 else NOW + 9**9
    return {
        "version": draw.randint(1, 3),
        "sceneCode": code,
        "sceneName": "某场景",
        "items": [{"itemCode": one, "itemName": "某事项"} for one in most(draw, ITEMS) or ITEMS[:1]],
        "useOrgCode": draw.choice([ORG, ORG, OTHER_ORG]),
        "useOrgName": "某机构",
        "applications": most(draw, APPLICATIONS, 0.8),
        "purposes": most(draw, PURPOSES),
        "purposeText": "核对所持证照",
        "legalBasis": {"kind": "STATUTORY", "text": "某条"},
        "consent": {
            "mode": draw.choice(MODES),
            **maybe(draw, 0.3, {"ttlSeconds": draw.choice([1, 2, 60])}),
            **maybe(draw, 0.5, {"oneTime": draw.random() < 0.5}),
            **maybe(draw, 0.2, {"level": draw.randint(0, 2)}),
        },
        "types": [a_type(draw, one) for one in most(draw, draw.sample(TYPES, 4))],
        "limits": some_limits(draw),
        "retention": {"days": 1},
        "validFrom": begins,
        "validTo": ends,
        **maybe(draw, 0.05, {"status": draw.choice(["SUSPENDED", "REVOKED"])}),
        **maybe(
            draw, 0.8, {"serviceCode": {"sourceProvinces": most(draw, PROVINCES), "fields": most(draw, FIELDS, 0.5)}}
        ),
        **maybe(draw, 0.3, {"holderKinds": most(draw, ["person", "organisation"])}),
        **maybe(draw, 0.4, {"agentAllowed": draw.random() < 0.7}),
    }


def some_limits(draw: Random) -> Json:
    near = ["04:25", "04:26", "04:27", "00:00", "23:59"]  # NOW is 04:26:40 in Shanghai
    return {
        "perDay": 5,
        **maybe(draw, 0.1, {"timeOfDay": {"from": draw.choice(near), "to": draw.choice(near)}}),
        **maybe(draw, 0.3, {"maxRecords": draw.choice([1, 9, 10, 20, 200])}),
    }


def a_type(draw: Random, type_code: str) -> Json:
    return {
        "typeCode": type_code,
        "sourceProvinces": most(draw, PROVINCES, 0.93),
        "interfaces": most(draw, WITH_TYPES, 0.93),
        "fields": most(draw, FIELDS, 0.7),
        **maybe(draw, 0.6, {"maskedFields": most(draw, FIELDS, 0.3)}),
        **maybe(draw, 0.95, {"fileFormats": most(draw, FORMATS)}),
        **maybe(draw, 0.9, {"allowOriginal": draw.random() < 0.9}),
        **maybe(draw, 0.8, {"byHolderOnly": draw.random() < 0.3}),
    }


def a_request(draw: Random, world: Json) -> Json:
    """A request to one of the registry's scenarios as it would be granted, but for up to three things."""
    scene = draw.choice(world["scenes"] or [a_scene(draw, SCENES[0])])
    type_code = draw.choice([one["typeCode"] for one in scene["types"]] or TYPES)
    interface = draw.choice([*WITH_TYPES, *WITH_TYPES, "I7"])
    asked: Json = {
        "node": NODES[0],
        "province": draw.choice(PROVINCES),
        "now": NOW,
        "item": {
            "id": IDS[0],
            "deadline": NOW,
            "interface": interface,
            "application": draw.choice(scene["applications"] or APPLICATIONS),
            "address": ADDRESSES[0],
            "head": {
                "sceneCode": scene["sceneCode"],
                "orgCode": scene["useOrgCode"],
                "itemCode": scene["items"][0]["itemCode"],
                "username": "某人",
                "businessCode": CASES[0],
                "useFor": draw.choice([*scene["purposes"], scene["purposeText"]]),
            },
        },
        "data": some_data(draw, interface, type_code),
    }
    asked["consent"] = a_consent(draw, scene, asked, type_code)
    for _ in range(draw.choice([0, 1, 1, 1, 2, 2, 3])):
        draw.choice(SPOILERS)(draw, asked)
    return asked


def some_data(draw: Random, interface: str, type_code: str) -> Json:
    """What this interface asks with, for a certificate of this type."""
    if interface == "I7":
        return {}
    if interface in ("I2", "I4"):
        data: Json = {"certificateID": identifier_of(1, type_code)}
    elif interface == "I6":
        data = {"certTypeCode": type_code, **maybe(draw, 0.5, {"certificateID": identifier_of(1, type_code)})}
    else:
        code, kind = draw.choice(HOLDERS[:2] if draw.random() < 0.7 else HOLDERS)
        data = {"certificateHolderCode": code, "certificateHolderTypeCode": kind, "certificateNumber": "1"}
        how = draw.random()
        if how < 0.6 or (interface != "I1" and how > 0.8):
            data["certificateTypeCode"] = type_code
        if 0.5 < how < 0.8:
            data["certificateType"] = draw.choice(NAMES)
    if interface == "I1":
        data |= {**maybe(draw, 0.3, {"pageNo": draw.randint(1, 2)}), **maybe(draw, 0.3, {"pageSize": 10})}
    if interface in ("I2", "I3"):
        data |= {**maybe(draw, 0.5, {"fileFormat": draw.choice(FORMATS[:2])}), **maybe(draw, 0.5, {"original": True})}
    if interface in ("I4", "I5"):
        data |= maybe(draw, 0.4, {"fields": [*most(draw, FIELDS[:6], 0.3), *most(draw, ["certificateID"], 0.3)]})
    return data


def a_consent(draw: Random, scene: Json, asked: Json, type_code: str) -> Json:
    """The consent that the scenario asks for, given a second ago for this and some other types."""
    item, data, mode = asked["item"], asked["data"], scene["consent"]["mode"]
    code, kind = data.get("certificateHolderCode", "A"), data.get("certificateHolderTypeCode", "111")
    claims = {
        "id": draw.choice(IDS),
        "iss": "31",
        "mode": "AGENT" if draw.random() < 0.2 and scene.get("agentAllowed") else mode,
        "scene": item["head"]["sceneCode"],
        "node": asked["node"],
        "application": item["application"],
        "org": item["head"]["orgCode"],
        "types": sorted({type_code, *most(draw, TYPES, 0.7)}),
        "holder": {},
        "iat": NOW - 500,
        "exp": NOW + 1,
        **maybe(draw, 0.5, {"case": CASES[0]}),
        **maybe(draw, 0.5, {"once": draw.random() < 0.5}),
        "level": scene["consent"].get("level", 0),
    }
    return {"claims": claims, "holderCode": code, "holderTypeCode": kind}


def _of_head(name: str, values: list[Any]) -> Any:
    return lambda draw, asked: asked["item"]["head"].update({name: draw.choice(values)})


def _of_item(name: str, values: list[Any]) -> Any:
    return lambda draw, asked: asked["item"].update({name: draw.choice(values)})


def _of_request(name: str, values: list[Any]) -> Any:
    return lambda draw, asked: asked.update({name: draw.choice(values)})


def _of_data(name: str, values: list[Any], *interfaces: str) -> Any:
    def spoil(draw: Random, asked: Json) -> None:
        if asked["item"]["interface"] in interfaces:
            asked["data"][name] = draw.choice(values)

    return spoil


def _of_claims(name: str, values: list[Any]) -> Any:
    def spoil(draw: Random, asked: Json) -> None:
        if asked["consent"]:
            asked["consent"]["claims"][name] = draw.choice(values)

    return spoil


def _of_consent(name: str, values: list[Any]) -> Any:
    return lambda draw, asked: asked["consent"] and asked["consent"].update({name: draw.choice(values)})


_BY_HOLDER: Final = ("I1", "I3", "I5")
_IDENTIFIERS: Final = [identifier_of(2, one) for one in TYPES]
SPOILERS: Final[list[Any]] = [
    _of_request("node", NODES),
    _of_request("province", [*PROVINCES, "33"]),
    _of_request("consent", [None]),
    _of_request("now", [NOW - 1, NOW, NOW + 1, NOW + 400, NOW + 500, NOW + 20_000, NOW - 86_400_000]),
    _of_item("application", [*APPLICATIONS, "nobody"]),
    _of_item("address", [*ADDRESSES, None]),
    _of_head("sceneCode", [*SCENES, "YRD-999999-2026-00001", None]),
    _of_head("orgCode", [*ORGS, None]),
    _of_head("itemCode", [*ITEMS, None]),
    _of_head("username", [*BLANK, "某人"]),
    _of_head("useFor", [*PURPOSES, *TEXTS, *BLANK]),
    _of_head("businessCode", [*CASES, None]),
    lambda draw, asked: asked["data"].update(useFor=draw.choice([*PURPOSES, *TEXTS, *BLANK])),
    _of_data("certificateID", _IDENTIFIERS, "I2", "I4", "I6"),
    _of_data("certTypeCode", TYPES, "I6"),
    _of_data("certificateTypeCode", [*TYPES, None, ""], *_BY_HOLDER),
    _of_data("certificateType", [*NAMES, "没有这种", None, ""], *_BY_HOLDER),
    _of_data("certificateHolderCode", ["A", "B", "C"], *_BY_HOLDER),
    _of_data("certificateHolderTypeCode", ["111", "414", "001", "099", "000"], *_BY_HOLDER),
    _of_data("certificateNumber", [*BLANK, "1"], *_BY_HOLDER),
    _of_data("pageNo", [1, 2, 3, 20, 21], "I1"),
    _of_data("pageSize", [1, 5, 10, 11, 50], "I1"),
    _of_data("fileFormat", [*FORMATS, "", None], "I2", "I3"),
    _of_data("original", [True, False, None], "I2", "I3"),
    _of_data("copyCause", ["某用途", "", None], "I2", "I3"),
    _of_data("copyExpiringTime", ["2026-07-01", "", None], "I2", "I3"),
    _of_data("fields", [[one] for one in FIELDS] + [[], None, FIELDS, ["certificateStatus"]], "I4", "I5"),
    _of_claims("mode", MODES),
    _of_claims("scene", [*SCENES, ""]),
    _of_claims("node", NODES),
    _of_claims("application", APPLICATIONS),
    _of_claims("org", ORGS),
    _of_claims("types", [[], *([one] for one in TYPES)]),
    _of_claims("case", [*CASES, ""]),
    _of_claims("level", [0, 1, 2]),
    _of_claims("iat", [NOW + 2_000, NOW + 2_001, NOW - 1_000, NOW - 2_000, NOW - 60_000, NOW - 600_000]),
    _of_claims("exp", [NOW, NOW - 1, NOW + 1, NOW + 600_000]),
    _of_consent("holderCode", ["A", "B", "C"]),
    _of_consent("holderTypeCode", ["111", "414", "001"]),
]
