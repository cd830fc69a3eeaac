"""Service codes: drawn by chance, readable in their issuer, and nothing of a person in them."""

import hashlib
import re
from contextlib import suppress
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.regions import PROVINCES
from schemas.service_codes import code_key, is_genuine, new_service_code, parse_service_code, tagged_code
from schemas.statuses import RefusedError

DRAWN: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TAG: Final = "ZYXWVUTSRQPONMLKJIHGFEDCBA"
KEY: Final = code_key(bytes(32))


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("province", PROVINCES)
def test_a_fresh_code(province: str, *, once: bool) -> None:
    """A fresh code is read back as its issuer, its kind and the digest of its whole text, and is its issuer's."""
    text = new_service_code(province, KEY, once=once)
    code = parse_service_code(text)
    assert code[:3] == (province, once, hashlib.sha256(text.encode()).hexdigest())
    assert is_genuine(code, KEY)


def test_a_tag_is_made_by_the_book() -> None:
    """The tag is HMAC-SM3 over all before it, its first 128 bits, under a key of its own."""
    assert tagged_code("32", bytes(16), KEY) == f"CERTLANE:32:{'A' * 26}.2N4Y72GVOLFXXVC7EKUD7CX3BE"


@pytest.mark.parametrize("place", range(len("CERTLANE:"), 65))
def test_forged_codes(place: int) -> None:
    """A code of which anything was changed is nobody's, or no code."""
    text = tagged_code("32", bytes(range(16)), KEY)
    changed = text[:place] + ("7" if text[place] != "7" else "2") + text[place + 1 :]
    with suppress(RefusedError):
        assert not is_genuine(parse_service_code(changed), KEY)


def test_the_kind_cannot_be_forged() -> None:
    """A code for one use does not become one for many by saying so."""
    once = tagged_code("32", bytes(16), KEY)
    often = once.replace("CERTLANE:32:", "CERTLANE:32:R")
    assert is_genuine(parse_service_code(once), KEY)
    assert not is_genuine(parse_service_code(often), KEY)


def test_each_issuer_has_its_own_tags() -> None:
    """No province makes codes of another one, and a key that is too short is no secret."""
    code = parse_service_code(new_service_code("32", KEY))
    assert not is_genuine(code, code_key(b"\1" * 32))
    with pytest.raises(ValueError, match="short"):
        code_key(b"")


def test_codes_are_drawn() -> None:
    """No two codes are the same, and each holds 128 bits and its tag in the letters of base 32."""
    some = {new_service_code("32", KEY).partition(".")[0] for _ in range(1_000)}
    assert len(some) == 1_000
    assert all(re.fullmatch("CERTLANE:32:[A-Z2-7]{26}", one) for one in some)


def test_the_kind_is_in_the_digest() -> None:
    """A code for one use cannot be made one for many: it is another code."""
    once, often = (parse_service_code(f"CERTLANE:32:{kind}{DRAWN}.{TAG}") for kind in ("", "R"))
    assert (once.once, often.once) == (True, False)
    assert once.digest != often.digest


def test_a_drawn_r_is_no_kind() -> None:
    """A code for one use whose chance begins with R stays one for one use."""
    assert parse_service_code(f"CERTLANE:32:R{DRAWN[1:]}.{TAG}").once


@pytest.mark.parametrize(
    "text",
    [
        "",
        DRAWN,
        f"CERTLANE:32:{DRAWN}",
        f"CERTLANE:32:{DRAWN}.",
        f"CERTLANE:32:{DRAWN}.{TAG[1:]}",
        f"CERTLANE:32:{DRAWN}.{TAG}A",
        f"CERTLANE:32:{DRAWN}.{TAG}.{TAG}",
        f"CERTLANE:32:{DRAWN}:{TAG}",
        f"CERTLANE:32:{DRAWN}.{TAG.lower()}",
        f"CERTLANE:32:{DRAWN}.{TAG}=",
        f"CERTLANE:32:{DRAWN[1:]}.{TAG}",
        f"CERTLANE:32:{DRAWN}A.{TAG}",
        f"CERTLANE:32:RR{DRAWN}.{TAG}",
        f"CERTLANE:32:{DRAWN}.{TAG}\n",
        f" CERTLANE:32:{DRAWN}.{TAG}",
        f"CERTLANE:3:{DRAWN}.{TAG}",
        f"CERTLANE:320:{DRAWN}.{TAG}",
        f"CERTLANE:３２:{DRAWN}.{TAG}",
        f"CERTLANE:٣٢:{DRAWN}.{TAG}",
        f"CERTLANE::{DRAWN}.{TAG}",
        f"certlane:32:{DRAWN}.{TAG}",
        f"CERTLANE:32:{DRAWN.lower()}.{TAG}",
        f"CERTLANE:32:{DRAWN[:-1]}0.{TAG}",
        f"CERTLANE:32:{DRAWN[:-1]}\0.{TAG}",
        f"http://test.invalid/code?x=CERTLANE:32:{DRAWN}.{TAG}",
    ],
)
def test_texts_that_are_no_codes(text: str) -> None:
    """Any other text is 6001."""
    with pytest.raises(RefusedError) as error:
        parse_service_code(text)
    assert error.value.code == 6001


@given(st.text(max_size=60) | st.from_regex("CERTLANE:[0-9]{2}:R?[A-Z2-7]{24,28}[.][A-Z2-7]{24,28}", fullmatch=True))
def test_a_refused_text_is_not_repeated(text: str) -> None:
    """Any text is a code or refused, and the refusal always says the same."""
    try:
        found = str(parse_service_code(text).digest)
    except RefusedError as error:
        found = f"{error}"
    assert found in ("6001 请核对 data.certQrCode", hashlib.sha256(text.encode("utf-8", "replace")).hexdigest())
