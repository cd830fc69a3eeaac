"""The judgement a second time, naive: DOMAIN §8.4 read once more over the records as they are written, in plain loops.

Nothing of the product is used here, so that both being wrong alike is unlikely; it is slow and need not be fast.
"""

import ipaddress
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

Json = dict[str, Any]
SHANGHAI: Final = timezone(timedelta(hours=8))
TEXTS: Final = {
    "GOV_SERVICE": "政务服务事项办理",
    "BUSINESS_REGISTRATION": "市场主体登记办理",
    "REAL_ESTATE": "不动产登记办理",
    "QUALIFICATION": "资质资格审查",
    "SUPERVISION": "行政监管与执法检查",
}
ORGANISATIONS: Final = ["001", "099"]
PERSONS: Final = ["111", "114", "115", "118", "119", "120", "122", "411", "412", "413", "414", "511", "516", "999"]
OF_EVERY_TYPE: Final = [
    *("certificateType", "certificateName", "certificateNumber"),
    *("certificateHolder", "certificateHolderCode", "certificateHolderType", "certificateAreaCode"),
    *("issueDept", "issueDeptCode", "issueDate", "certificateValidateStart", "certificateValidateEnd"),
]
TOLD_ANYHOW: Final = ["certificateID", "certificateTypeCode", "certificateStatus"]
ORDER: Final = [
    *("node", "application", "address", "scene", "window", "hours", "item", "organisation", "applications"),
    *("operator", "purpose", "identifier", "catalogue", "type", "region", "holder", "interface", "number", "format"),
    *("original", "consent", "records", "field"),
]
BY_HOLDER: Final = ["I1", "I3", "I5"]


def judge(world: Json, asked: Json) -> Json:
    """What is granted, or the first condition that fails and its code."""
    for condition, code in _of_the_request(world, asked):
        return {"refused": condition, "code": code}
    scene = _scene(world, asked)
    if asked["item"]["interface"] == "I7":
        return _of_a_code(scene, asked)
    types = _types(world, scene, asked)
    failures = []
    granted = {}
    for type_code in types:
        wrong = next(_of_a_type(world, scene, asked, type_code), None)
        if wrong is None:
            granted[type_code] = _fields(world, scene, asked, type_code)
        else:
            failures.append(wrong)
    if granted:
        return {
            "granted": granted,
            "code_fields": [],
            "limits": scene["limits"],
            "uses": _uses(scene, asked, list(granted)),
        }
    if _names_no_type(asked):
        failures = [one for one in failures if one[0] not in ("catalogue", "type", "region", "interface")]
        failures = failures or [("interface", 3006)]
    if not failures:
        failures.append(("catalogue", 13))
    condition, code = max(failures, key=lambda one: (ORDER.index(one[0]), one[1] == 3009))
    return {"refused": condition, "code": code}


def _of_the_request(world: Json, asked: Json) -> Iterator[tuple[str, int]]:
    """Steps 1 to 5, and that a file's identifier is of its type."""
    item, data, now = asked["item"], asked["data"], asked["now"]
    head = item["head"]
    application = next((one for one in world["applications"] if one["id"] == item["application"]), None)
    if application and application["node"] != asked["node"]:
        yield "node", 2005
    if not application or application.get("suspended", False):
        yield "application", 3004
        return
    if not _address_is_in(item.get("address"), application["addresses"]):
        yield "address", 2006
    scene = _scene(world, asked)
    if scene is None or scene.get("status", "PUBLISHED") != "PUBLISHED":
        yield "scene", 3001
        return
    if now < scene["validFrom"] or now >= scene["validTo"]:
        yield "window", 3002
    hours = scene["limits"].get("timeOfDay")
    if hours and not _is_between(now, hours["from"], hours["to"]):
        yield "hours", 3002
    if head.get("itemCode") not in [one["itemCode"] for one in scene["items"]]:
        yield "item", 3003
    if head.get("orgCode") != scene["useOrgCode"] or head.get("orgCode") not in application["orgCodes"]:
        yield "organisation", 3004
    if item["application"] not in scene["applications"]:
        yield "applications", 3004
    if not (head.get("username") or "").strip():
        yield "operator", 3013
    purpose = head.get("useFor") if (head.get("useFor") or "").strip() else data.get("useFor")
    allowed = [scene["purposeText"]]
    for code in scene["purposes"]:
        allowed += [code, TEXTS.get(code, code)]
    if not (purpose or "").strip() or purpose not in allowed:
        yield "purpose", 3011
    if (
        item["interface"] == "I6"
        and data.get("certificateID")
        and _type_in(data["certificateID"]) != data["certTypeCode"]
    ):
        yield "identifier", 102


def _of_a_type(world: Json, scene: Json, asked: Json, type_code: str) -> Iterator[tuple[str, int]]:
    """Steps 6, 8, 9 and 11 for one type."""
    interface, data = asked["item"]["interface"], asked["data"]
    entry = next((one for one in world["catalogue"] if one["typeCode"] == type_code), None)
    if entry is None or asked["province"] not in entry["provinces"]:
        yield "catalogue", 13
        return
    granted = next((one for one in scene["types"] if one["typeCode"] == type_code), None)
    if granted is None:
        yield "type", 3005
        return
    if asked["province"] not in granted["sourceProvinces"]:
        yield "region", 3005
    if interface in BY_HOLDER and not _kind_is_in(data["certificateHolderTypeCode"], scene):
        yield "holder", 3005
    if interface not in granted["interfaces"] or interface not in entry["interfaces"]:
        yield "interface", 3006
    no_number = not (data.get("certificateNumber") or "").strip()
    if interface in ("I3", "I5") and no_number and not granted.get("byHolderOnly", False):
        yield "number", 12
    if interface in ("I2", "I3"):
        yield from _of_a_file(granted, data)
    if scene["consent"]["mode"] != "NONE":
        yield from _of_the_consent(world, scene, asked, type_code)
    most = scene["limits"].get("maxRecords")
    if interface == "I1" and most is not None and data.get("pageNo", 1) * data.get("pageSize", 10) > most:
        yield "records", 3010
    if interface in ("I4", "I5"):
        for field in data.get("fields") or []:
            if field not in TOLD_ANYHOW and field not in _grantable(entry, granted):
                yield "field", 3007


def _of_a_file(granted: Json, data: Json) -> Iterator[tuple[str, int]]:
    if (data.get("fileFormat") or "ofd") not in granted.get("fileFormats", []):
        yield "format", 3006
    may_have_it = granted.get("allowOriginal", False)
    wants = data.get("original")
    if wants is True:
        if not may_have_it:
            yield "original", 3006
    elif wants is False or data.get("copyCause") or data.get("copyExpiringTime") or not may_have_it:
        yield "original", 2


def _of_the_consent(world: Json, scene: Json, asked: Json, type_code: str) -> Iterator[tuple[str, int]]:
    consent, rule, now = asked["consent"], scene["consent"], asked["now"]
    item, data = asked["item"], asked["data"]
    missing = ("consent", 3008)
    if consent is None:
        yield missing
        return
    claims = consent["claims"]
    for ours, theirs in (
        (claims["scene"], scene["sceneCode"]),
        (claims["node"], asked["node"]),
        (claims["application"], item["application"]),
        (claims["org"], item["head"].get("orgCode")),
    ):
        if ours != theirs:
            yield missing
    if claims.get("case", "") and claims["case"] != item["head"].get("businessCode"):
        yield missing
    if claims["mode"] != rule["mode"] and not (claims["mode"] == "AGENT" and scene.get("agentAllowed", False)):
        yield missing
    if claims.get("level", 0) < rule.get("level", 0) or claims["iat"] - 2_000 > now:
        yield missing
    if item["interface"] in BY_HOLDER:
        if data["certificateHolderCode"] != consent["holderCode"]:
            yield missing
        if data["certificateHolderTypeCode"] != consent["holderTypeCode"]:
            yield missing
    if type_code not in claims["types"]:
        yield missing
    if now >= claims["exp"] or now - claims["iat"] >= rule.get("ttlSeconds", 600) * 1_000:
        yield "consent", 3009
    if f"{claims['iss']}.{claims['id']}" in [one["id"] for one in world["withdrawals"]]:
        yield "consent", 3009


def _of_a_code(scene: Json, asked: Json) -> Json:
    code = scene.get("serviceCode") or {"sourceProvinces": []}
    if asked["province"] not in code["sourceProvinces"]:
        return {"refused": "interface", "code": 3006}
    return {"granted": {}, "code_fields": sorted(code.get("fields", [])), "limits": scene["limits"], "uses": []}


def _scene(world: Json, asked: Json) -> Any:
    wanted = asked["item"]["head"].get("sceneCode")
    return next((one for one in world["scenes"] if one["sceneCode"] == wanted), None)


def _names_no_type(asked: Json) -> bool:
    data = asked["data"]
    return (
        asked["item"]["interface"] == "I1" and not data.get("certificateTypeCode") and not data.get("certificateType")
    )


def _types(world: Json, scene: Json, asked: Json) -> list[str]:
    interface, data = asked["item"]["interface"], asked["data"]
    if interface in ("I2", "I4"):
        return [_type_in(data["certificateID"])]
    if interface == "I6":
        return [data["certTypeCode"]]
    if data.get("certificateTypeCode"):
        return [data["certificateTypeCode"]]
    name = data.get("certificateType")
    if name:
        return [one["typeCode"] for one in world["catalogue"] if name in _names(one)]
    return [one["typeCode"] for one in scene["types"]] if interface == "I1" else []


def _names(entry: Json) -> list[str]:
    return [entry["typeName"], *(name for names in entry.get("aliases", {}).values() for name in names)]


def _type_in(identifier: str) -> str:
    """The part after the root's five numbers."""
    return identifier.split(".")[5]


def _grantable(entry: Json, granted: Json) -> list[str]:
    """What the scenario names and the catalogue has, in full or shortened."""
    named = [*granted["fields"], *granted.get("maskedFields", [])]
    has = [*OF_EVERY_TYPE, *(one["column"] for one in entry["fields"])]
    return [one for one in named if one in has]


def _fields(world: Json, scene: Json, asked: Json, type_code: str) -> Json:
    entry = next(one for one in world["catalogue"] if one["typeCode"] == type_code)
    granted = next(one for one in scene["types"] if one["typeCode"] == type_code)
    may = set(_grantable(entry, granted))
    has = {*OF_EVERY_TYPE, *(one["column"] for one in entry["fields"])}
    wanted = asked["data"].get("fields") if asked["item"]["interface"] in ("I4", "I5") else None
    told = {one for one in wanted if one not in TOLD_ANYHOW} if wanted else may
    return {
        "fields": sorted(told),
        "masked": sorted(one for one in told if one in granted.get("maskedFields", [])),
        "withheld": [] if wanted else sorted(has - may),
    }


def _uses(scene: Json, asked: Json, types: list[str]) -> list[str]:
    if scene["consent"]["mode"] == "NONE":
        return []
    claims = asked["consent"]["claims"]
    if not (claims.get("once", True) or scene["consent"].get("oneTime", True)):
        return []
    return sorted(f"{claims['iss']}.{claims['id']}:{asked['item']['interface']}:{one}" for one in types)


def _kind_is_in(holder_type: str, scene: Json) -> bool:
    kinds = scene.get("holderKinds", ["person", "organisation"])
    return (holder_type in PERSONS and "person" in kinds) or (holder_type in ORGANISATIONS and "organisation" in kinds)


def _is_between(now: int, start: str, end: str) -> bool:
    """Whether the clock in Shanghai shows one of these minutes; hours may go on after midnight."""
    clock = datetime.fromtimestamp(now // 1_000, UTC).astimezone(SHANGHAI).strftime("%H:%M")
    return start <= clock < end if start <= end else clock >= start or clock < end


def _address_is_in(address: str | None, networks: list[str]) -> bool:
    try:
        here = ipaddress.ip_address((address or "").removeprefix("::ffff:"))
    except ValueError:
        return False
    return any(here in ipaddress.ip_network(one) for one in networks)
