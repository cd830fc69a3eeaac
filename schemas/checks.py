"""The check characters of the three codes that name certificates, bodies and citizens."""

from operator import mul
from typing import Final

from schemas.statuses import ID_MALFORMED, USCC_WRONG

CITIZEN_ID_WRONG: Final = 4004

USCC_ALPHABET: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # 31 characters: no I, O, S, V, Z (GB 32100-2015)

_ALPHANUMERIC: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VALUE_36: Final = {character: value for value, character in enumerate(_ALPHANUMERIC)}
_VALUE_31: Final = {character: value for value, character in enumerate(USCC_ALPHABET)}
_DIGIT: Final = {character: value for value, character in enumerate("0123456789")}

_USCC_WEIGHTS: Final = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)
_CITIZEN_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CITIZEN_CHECKS: Final = "10X98765432"  # the check character of each remainder modulo 11


class IdentifierError(ValueError):
    """A code that is not what it should be; `code` is the status for the requester (DOMAIN §3.3, 4001 to 4005).

    The message never repeats the text: it may hold the number of a person.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def mod37_36(text: str) -> str:
    """Return the check character of digits and upper-case letters.

    Raises IdentifierError 4001 for any other character. ISO/IEC 7064 MOD 37,36, the hybrid system
    (GB/T 17710-2008; GB/T 36904-2018).
    """
    remainder = 36
    try:
        for character in text:
            remainder = 2 * ((remainder + _VALUE_36[character]) % 36 or 36) % 37
    except KeyError:
        raise IdentifierError(ID_MALFORMED, "a character other than a digit or an upper-case letter") from None
    return _ALPHANUMERIC[(37 - remainder) % 36]


def uscc_check(first17: str) -> str:
    """Return the check character of the first seventeen characters of a 统一社会信用代码.

    Raises IdentifierError 4003 for another length or a character outside the alphabet. GB 32100-2015.
    """
    return USCC_ALPHABET[-_weighted(first17, _VALUE_31, _USCC_WEIGHTS, USCC_WRONG) % 31]


def citizen_check(first17: str) -> str:
    """Return the check character of the first seventeen digits of a 公民身份号码.

    Raises IdentifierError 4004 for another length or anything but digits. GB 11643-1999.
    """
    return _CITIZEN_CHECKS[_weighted(first17, _DIGIT, _CITIZEN_WEIGHTS, CITIZEN_ID_WRONG) % 11]


def _weighted(text: str, values: dict[str, int], weights: tuple[int, ...], code: int) -> int:
    if len(text) != len(weights):
        raise IdentifierError(code, f"{len(weights)} characters come before the check character")
    try:
        return sum(map(mul, map(values.__getitem__, text), weights))
    except KeyError:
        raise IdentifierError(code, "a character outside the alphabet of the code") from None
