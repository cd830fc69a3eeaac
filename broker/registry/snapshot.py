"""The compiled registry: immutable, in process, what every judgement and every signature check looks into."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from broker.registry.compiled import CompiledEntry, CompiledScene, compile_entry, compile_scene
from schemas.catalogue import CatalogueEntry
from schemas.lot import LotError
from schemas.registry import BODIES, Application, Party, Record, Withdrawal, decode_record
from schemas.scenes import Scene
from schemas.suites import BY_SIGN_ALG

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from schemas.jose import Jwk
    from schemas.registry import Manifest


class Snapshot:
    """One verified version of the registry; parties, applications, catalogue and scenarios by their ids."""

    def __init__(self, manifest: Manifest, records: Mapping[str, bytes]) -> None:
        self.version = manifest.version
        self.expires_at = manifest.expires_at
        self.parties: dict[str, Party] = {}
        self.applications: dict[str, Application] = {}
        self.catalogue: dict[str, CompiledEntry] = {}
        self.scenes: dict[str, CompiledScene] = {}
        self.withdrawn: dict[str, int] = {}  # consents, until when (unix ms)
        self._named: dict[str, tuple[str, ...]] = {}
        for raw in (records[key] for key in sorted(records)):  # "catalogue/" comes before "scene/"
            self._add(decode_record(raw))
        self._verifiers: dict[tuple[str, str], Callable[[bytes, bytes], None]] = {}
        self.address_allowed = lru_cache(maxsize=4_096)(self._address_allowed)

    def _add(self, record: Record) -> None:
        body = msgspec.json.decode(record.body, type=BODIES[record.kind])
        if isinstance(body, Party):
            self.parties[body.id] = body
        elif isinstance(body, Application):
            self.applications[body.id] = body
        elif isinstance(body, CatalogueEntry):
            entry = self.catalogue[body.type_code] = compile_entry(body)
            for name in entry.names:
                self._named[name] = (*self._named.get(name, ()), body.type_code)
        elif isinstance(body, Withdrawal):
            self.withdrawn[body.id] = body.until
        elif isinstance(body, Scene):
            self.scenes[body.scene_code] = compile_scene(body, record.version, self.catalogue)

    def types_named(self, name: str) -> tuple[str, ...]:
        """The codes of the types that some province calls so; none: no type of the catalogue has this name."""
        return self._named.get(name, ())

    def verifier(self, party: str, kid: str, alg: str, now_ms: int) -> Callable[[bytes, bytes], None]:
        """A check of (signature, message) under a key of this party valid now; raises LotError("sender"|"key")."""
        jwk = self._key(party, "sig", now_ms, kid)
        if jwk.alg != alg:
            raise LotError("key")
        check = self._verifiers.get((party, kid))
        if check is None:
            check = self._verifiers[party, kid] = BY_SIGN_ALG[alg].verifier(jwk)
        return check

    def sealing_key(self, party: str, now_ms: int) -> Jwk:
        """The key to seal to this party with; raises LotError("sender"|"key")."""
        return self._key(party, "enc", now_ms)

    def _key(self, party: str, use: str, now_ms: int, kid: str | None = None) -> Jwk:
        known = self.parties.get(party)
        if known is None:
            raise LotError("sender")
        for key in known.keys:
            named = kid is None or key.jwk.kid == kid
            if named and key.jwk.use == use and not key.revoked and key.not_before <= now_ms < key.not_after:
                return key.jwk
        raise LotError("key")

    def _address_allowed(self, application: str, address: str) -> bool:
        """Whether the application may call from this address; nothing registered: from nowhere."""
        try:
            host = ipaddress.ip_address(address)
            host = getattr(host, "ipv4_mapped", None) or host  # ::ffff:192.0.2.1 is 192.0.2.1
            return any(host in ipaddress.ip_network(net) for net in self.applications[application].addresses)
        except (ValueError, KeyError):
            return False
