"""A province's consents: those that come are opened, those that its service codes give are issued (DOMAIN §8.5, §8.6).

Every key here is the province's own: the tags of its codes and the ids of its consents are made under its secret.
"""

from __future__ import annotations

import contextlib
import hmac
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from broker.bus.keys import KeySigner, Sealer
from schemas.consents import Consent, ConsentError, Consenting, open_consent, seal_holder, sign_consent
from schemas.jose import unb64
from schemas.lot import LotError
from schemas.scenes import ConsentMode
from schemas.service_codes import code_key, is_genuine
from schemas.suites import sha256

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from broker.bus.keys import KeyFile
    from broker.registry.compiled import CompiledScene
    from broker.registry.snapshot import Snapshot
    from schemas.consents import OpenedConsent
    from schemas.registry import Party
    from schemas.service_codes import ServiceCode
    from schemas.sharing import Head
    from schemas.wire import Opener, Sealing, Signer
    from workers.issuers.port import CodeRecord
    from workers.judge import Case

AUTHORIZATION_MS = 600_000  # of what a code's holder has agreed to by showing it (design choice)
MAX_TYPES = 64  # of one authorization
_REMEMBERED = 4_096  # tokens that were opened by the keys of the same parties
_ID_CHARS = 32


class Authorization(NamedTuple):
    """What the redeemer of a code may ask with: the token, for which types, until when (unix ms)."""

    token: str
    types: tuple[str, ...]
    expires_at: int


class Consents:
    """One province's; raises ValueError when its keys have no secret."""

    def __init__(self, keys: KeyFile, opener: Opener) -> None:
        secret = unb64(keys.holder_key)
        self.province = keys.party
        self.code_key = code_key(secret)
        self._id_key = hmac.digest(secret, b"certlane consent id", "sha256")
        self._opener, self._signer, self._sealer = opener, KeySigner(keys.signing), Sealer()
        self._opened: OrderedDict[bytes, tuple[OpenedConsent | None, str]] = OrderedDict()
        self._opened_by: Mapping[str, Party] | None = None

    def genuine(self, code: ServiceCode) -> bool:
        """Whether this province issued the code, as far as its tag tells."""
        return code.province == self.province and is_genuine(code, self.code_key)

    def opened(self, head: Head, snapshot: Snapshot, now_ms: int) -> tuple[OpenedConsent | None, str]:
        """The consent that a request brings, or why what it brings is none.

        A scenario that needs none is not asked for one: nothing is verified, nothing is held against the request.
        """
        token, scene = head.auth_code, snapshot.scenes.get(head.scene_code or "")
        if not token or scene is None or scene.scene.consent.mode is ConsentMode.NONE:
            return None, ""
        if snapshot.parties is not self._opened_by:  # a key may have been revoked
            self._opened_by = snapshot.parties
            self._opened.clear()
        name = sha256(token.encode())
        known = self._opened.get(name)
        if known is None:
            known = self._opened[name] = self._open(token, snapshot, now_ms)
            if len(self._opened) > _REMEMBERED:
                self._opened.popitem(last=False)
        return known

    def _open(self, token: str, snapshot: Snapshot, now_ms: int) -> tuple[OpenedConsent | None, str]:
        try:
            return open_consent(token, snapshot, self._opener, self.province, now_ms), ""
        except ConsentError as error:
            return None, error.reason

    def authorization(self, case: Case, code: CodeRecord, snapshot: Snapshot, redeemed_ms: int) -> Authorization | None:
        """What the holder agreed to by showing this code (亮码); None where the scenario does not live on that.

        Its id is that of the redeeming request: whoever asks again, or is answered again, gets the same one.
        """
        head, item = case.item.head, case.item
        scene = snapshot.scenes.get(head.scene_code or "")
        if scene is None or scene.scene.consent.mode is not ConsentMode.CODE:
            return None
        sealings = sealings_of(scene, snapshot, self._sealer, redeemed_ms)
        types = types_of(scene, getattr(case.data, "requested_types", None), snapshot, sealings)
        if not types:
            return None
        name = f"{case.node}\n{item.id}\n{case.digest}".encode()
        consent = Consent(
            id=hmac.digest(self._id_key, name, "sha256").hex()[:_ID_CHARS],
            iss=self.province,
            mode=ConsentMode.CODE,
            scene=scene.scene.scene_code,
            node=case.node,
            application=item.application,
            org=head.org_code or "",
            types=types,
            holder={},
            iat=redeemed_ms,
            exp=redeemed_ms + min(AUTHORIZATION_MS, scene.scene.consent.ttl_seconds * 1_000),
            case=head.business_code or "",
        )
        whose = Consenting(code=code.holder_code, type_code=code.holder_type_code)
        return Authorization(token_of(consent, whose, scene, sealings, self._signer), types, consent.exp)


def token_of(
    consent: Consent, whose: Consenting, scene: CompiledScene, sealings: Mapping[str, Sealing], signer: Signer
) -> str:
    """The signed token of these claims, who consented sealed to each source of its types; raises ValueError."""
    sources = sorted({one for kind in consent.types for one in scene.types[kind].sources} & sealings.keys())
    holder = {one: seal_holder(whose, sealings[one], issuer=consent.iss, consent=consent.id) for one in sources}
    return sign_consent(replace(consent, holder=holder), signer)


def sealings_of(scene: CompiledScene, snapshot: Snapshot, sealer: Sealer, now_ms: int) -> Mapping[str, Sealing]:
    """A sealing to each source province that there is."""
    out: dict[str, Sealing] = {}
    for province in sorted({one for kind in scene.types.values() for one in kind.sources}):
        with contextlib.suppress(LotError):
            out[province] = sealer.next(province, snapshot.sealing_key(province, now_ms))
    return out


def types_of(
    scene: CompiledScene, requested: Iterable[str] | None, snapshot: Snapshot, provinces: Mapping[str, object]
) -> tuple[str, ...]:
    """The scenario's types that were asked for, by code or name, and that some province there is has; all unless asked.

    Beyond `MAX_TYPES` the rest is left out: a scope that is told is narrower, never wider.
    """
    wanted = {code for one in requested or () for code in (one, *snapshot.types_named(one))}
    held = [code for code, kind in scene.types.items() if not kind.sources.isdisjoint(provinces)]
    return tuple([code for code in held if not wanted or code in wanted][:MAX_TYPES])
