"""Service codes: drawn by chance, readable in their issuer, and nothing of a person in them."""

import hashlib
import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.regions import PROVINCES
from schemas.service_codes import ServiceCode, new_service_code, parse_service_code
from schemas.statuses import RefusedError

DRAWN: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize("once", [True, False])
@pytest.mark.parametrize("province", PROVINCES)
def test_a_fresh_code(province: str, *, once: bool) -> None:
    """A fresh code is read back as its issuer, its kind and the digest of its whole text."""
    text = new_service_code(province, once=once)
    assert parse_service_code(text) == ServiceCode(province, once, hashlib.sha256(text.encode()).hexdigest())


def test_codes_are_drawn() -> None:
    """No two codes are the same, and each holds 128 bits in the letters of base 32."""
    some = {new_service_code("32") for _ in range(1_000)}
    assert len(some) == 1_000
    assert all(re.fullmatch("CERTLANE:32:[A-Z2-7]{26}", one) for one in some)


def test_the_kind_is_in_the_digest() -> None:
    """A code for one use cannot be made one for many: it is another code."""
    once, often = parse_service_code(f"CERTLANE:32:{DRAWN}"), parse_service_code(f"CERTLANE:32:R{DRAWN}")
    assert (once.once, often.once) == (True, False)
    assert once.digest != often.digest


def test_a_drawn_r_is_no_kind() -> None:
    """A code for one use whose chance begins with R stays one for one use."""
    assert parse_service_code(f"CERTLANE:32:R{DRAWN[1:]}").once


@pytest.mark.parametrize(
    "text",
    [
        "",
        DRAWN,
        f"CERTLANE:32:{DRAWN[1:]}",
        f"CERTLANE:32:{DRAWN}A",
        f"CERTLANE:32:RR{DRAWN}",
        f"CERTLANE:32:{DRAWN}\n",
        f" CERTLANE:32:{DRAWN}",
        f"CERTLANE:3:{DRAWN}",
        f"CERTLANE:320:{DRAWN}",
        f"CERTLANE:３２:{DRAWN}",
        f"CERTLANE:٣٢:{DRAWN}",
        f"CERTLANE::{DRAWN}",
        f"certlane:32:{DRAWN}",
        f"CERTLANE:32:{DRAWN.lower()}",
        f"CERTLANE:32:{DRAWN[:-1]}0",
        f"CERTLANE:32:{DRAWN[:-1]}\0",
        "http://test.invalid/code?x=CERTLANE:32:" + DRAWN,
    ],
)
def test_texts_that_are_no_codes(text: str) -> None:
    """Any other text is 6001."""
    with pytest.raises(RefusedError) as error:
        parse_service_code(text)
    assert error.value.code == 6001


@given(st.text(max_size=60) | st.from_regex("CERTLANE:[0-9]{2}:R?[A-Z2-7]{20,30}", fullmatch=True))
def test_a_refused_text_is_not_repeated(text: str) -> None:
    """Any text is a code or refused, and the refusal always says the same."""
    try:
        found = str(parse_service_code(text).digest)
    except RefusedError as error:
        found = f"{error}"
    assert found in ("6001 请核对 data.certQrCode", hashlib.sha256(text.encode("utf-8", "replace")).hexdigest())
