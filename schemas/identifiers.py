"""The codes of the field: 证照标识, 统一社会信用代码, 公民身份号码, item and scene codes (DOMAIN §5, §8.2)."""

import re
from datetime import date
from functools import lru_cache
from typing import Final

import msgspec

from schemas.checks import CITIZEN_ID_WRONG, IdentifierError, citizen_check, mod37_36, uscc_check
from schemas.regions import province_of_area
from schemas.statuses import ID_MALFORMED, USCC_WRONG

__all__ = [
    "CERTIFICATE_ID_ROOT",
    "MAX_CERTIFICATE_ID_CHARS",
    "CertificateId",
    "IdentifierError",
    "citizen_check",
    "is_citizen_id",
    "is_item_code",
    "is_scene_code",
    "is_uscc",
    "make_certificate_id",
    "mod37_36",
    "normalise_citizen_id",
    "parse_certificate_id",
    "uscc_check",
]

CERTIFICATE_ID_ROOT: Final = "1.2.156.3005.2"  # 电子证照根代码 (GB/T 36904-2018)
MAX_CERTIFICATE_ID_CHARS: Final = 128  # the national column's width (DOMAIN §6.3)

# Explicit ASCII classes throughout: \d takes the digits of every script.
_USCC: Final = "[0-9A-HJ-NPQRTUWXY]{18}"
_CERTIFICATE_ID: Final = re.compile(
    re.escape(CERTIFICATE_ID_ROOT)
    + rf"\.({_USCC}[0-9]{{3}})\.({_USCC}|[0-9A-Z]{{6}})\.([0-9A-Z]{{1,32}})\.([0-9]{{3}})\.([0-9A-Z])"
)
_USCC_SHAPE: Final = re.compile("[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
_CITIZEN_ID: Final = re.compile("[1-9][0-9]{5}((?:18|19|20)[0-9]{2})([0-9]{2})([0-9]{2})[0-9]{3}[0-9X]")
_CITIZEN_ID_15: Final = re.compile("[1-9][0-9]{14}")
_ITEM_TAIL: Final = re.compile("[0-9A-Z]{13}(?:[0-9A-Z]{2})?")
_SCENE: Final = re.compile("YRD-([0-9]{6})-[0-9]{4}-[0-9]{5}")


class CertificateId(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One 证照标识, taken apart; right in shape, its check character possibly wrong (GB/T 36904-2018)."""

    type_code: str
    issuer_code: str
    serial: str
    version: str
    check: str

    def __str__(self) -> str:
        """Return the identifier exactly as it was read."""
        parts = (CERTIFICATE_ID_ROOT, self.type_code, self.issuer_code, self.serial, self.version, self.check)
        return ".".join(parts)

    @property
    def check_is_right(self) -> bool:
        """Whether the check character is the computed one; ask only when nothing was found (DOMAIN §5.1)."""
        return mod37_36(self.type_code + self.issuer_code + self.serial + self.version) == self.check

    @property
    def issuer_area(self) -> str | None:
        """The issuer's six-digit area: characters 3 to 8 of its USCC, or its legacy code; None if no digits."""
        area = self.issuer_code if len(self.issuer_code) == 6 else self.issuer_code[2:8]
        return area if area.isdigit() else None


def parse_certificate_id(text: str) -> CertificateId:
    """Take a 证照标识 apart by its shape alone.

    Raises IdentifierError 4001 for any text of another shape or over 128 characters. A wrong check character is not
    an error here: stored data carry some, and a lookup goes by the exact string first (DOMAIN §5.1).
    """
    # The length is looked at first, so that no text, however long, costs more than a look.
    match = _CERTIFICATE_ID.fullmatch(text) if len(text) <= MAX_CERTIFICATE_ID_CHARS else None
    if match is None:
        raise IdentifierError(ID_MALFORMED, "not a certificate identifier (证照标识) of GB/T 36904")
    type_code, issuer_code, serial, version, check = match.groups()
    return CertificateId(type_code=type_code, issuer_code=issuer_code, serial=serial, version=version, check=check)


def make_certificate_id(type_code: str, issuer_code: str, serial: str, version: str) -> str:
    """Return a new 证照标识 with its check character.

    Raises IdentifierError 4003 when the defining or the issuing body's code is no valid USCC (so a legacy area code
    is never written), 4001 when another part is malformed. GB/T 36904-2018.
    """
    if not (is_uscc(type_code[:18]) and is_uscc(issuer_code)):
        raise IdentifierError(USCC_WRONG, "the defining and the issuing body are named by valid USCCs")
    check = mod37_36(type_code + issuer_code + serial + version)
    made = f"{CERTIFICATE_ID_ROOT}.{type_code}.{issuer_code}.{serial}.{version}.{check}"
    return str(parse_certificate_id(made))


@lru_cache(maxsize=4_096)  # bodies' codes: few, public, asked for with every request
def is_uscc(text: str) -> bool:
    """Whether this is a 统一社会信用代码: alphabet, six-digit area and check character (GB 32100-2015)."""
    return _USCC_SHAPE.fullmatch(text) is not None and uscc_check(text[:17]) == text[17]


def is_citizen_id(text: str) -> bool:
    """Whether this is a 公民身份号码 as stored: eighteen characters, a real date of birth, a large X (GB 11643-1999).

    The area is held to its shape only; areas are abolished, the numbers given under them stay.
    """
    match = _CITIZEN_ID.fullmatch(text)
    if match is None:
        return False
    try:
        date(*map(int, match.groups()))
    except ValueError:
        return False
    return citizen_check(text[:17]) == text[17]


def normalise_citizen_id(text: str) -> str:
    """Return a 公民身份号码 as it is stored: a small x made large, fifteen digits made eighteen characters.

    Raises IdentifierError 4004 when the result is none. The fifteen digits lack the century, which is always 19
    (GB 11643-1999; DOMAIN §5.3).
    """
    if _CITIZEN_ID_15.fullmatch(text):
        first17 = f"{text[:6]}19{text[6:]}"
        text = first17 + citizen_check(first17)
    elif text.endswith("x"):
        text = text[:-1] + "X"
    if not is_citizen_id(text):
        raise IdentifierError(CITIZEN_ID_WRONG, "not a citizen's number (公民身份号码) of GB 11643")
    return text


@lru_cache(maxsize=4_096)
def is_item_code(text: str) -> bool:
    """Whether this is an item code: a valid USCC and 13 (实施编码) or 15 (业务办理项编码) more (DOMAIN §3.4)."""
    return _ITEM_TAIL.fullmatch(text, 18) is not None and is_uscc(text[:18])


def is_scene_code(text: str) -> bool:
    """Whether this is `YRD-{region6}-{yyyy}-{seq5}` with a region of the provinces (design choice, DOMAIN §8.2)."""
    match = _SCENE.fullmatch(text)
    return match is not None and province_of_area(match[1]) is not None
