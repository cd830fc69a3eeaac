"""The compiled registry: immutable, in process, what every judgement and every signature check looks into."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from sys import intern
from typing import TYPE_CHECKING, Any

import msgspec

from broker.registry.compiled import CompiledEntry, CompiledScene, compile_application, compile_entry, compile_scene
from schemas.catalogue import CatalogueEntry
from schemas.kinds import Kind
from schemas.lot import LotError
from schemas.registry import BODIES, Application, Party, Withdrawal, decode_record
from schemas.scenes import Scene
from schemas.suites import BY_SIGN_ALG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from schemas.jose import Jwk
    from schemas.registry import Body, Manifest, Record

# Scenarios last: they are compiled with the catalogue. Filings are the registrar's and are never kept here.
_HELD = {
    Kind.PARTY: "parties",
    Kind.APPLICATION: "applications",
    Kind.CATALOGUE: "catalogue",
    Kind.WITHDRAWAL: "withdrawn",
    Kind.SCENE: "scenes",
}
_KINDS = {f"{kind}": kind for kind in Kind}
_DECODERS = {kind: msgspec.json.Decoder(body).decode for kind, body in BODIES.items()}
_SLICE = 64  # records compiled at once, about 3 ms
_ADDRESSES = 1 << 16  # decisions kept: an application has a few, and there may be ten thousand


class RecordError(ValueError):
    """A record that cannot be used, whoever signed it."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"record {key}: {what}")
        self.key = key


def read_record(key: str, raw: bytes) -> tuple[Record, Body]:
    """The record under this key and its body; raises RecordError, also for one that says another key of itself."""
    try:
        record = decode_record(raw)
        body: Body = _DECODERS[record.kind](record.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(key, str(error)) from error
    if record.key != key or record.id != body.id:
        raise RecordError(key, "stands under a key that is not its own")
    return record, body


class Snapshot:
    """One verified version of the registry; parties, applications, catalogue and scenarios by their ids."""

    def __init__(
        self,
        manifest: Manifest,
        changed: Mapping[str, bytes | None] | Mapping[str, bytes],
        *,
        base: Snapshot | None = None,
        sliced: bool = False,
    ) -> None:
        """These records on top of `base`'s, None takes one away; raises RecordError.

        Sliced, it is whole only once somebody has gone through `steps`, each a few ms; then they raise.
        """
        self.version = manifest.version
        self.expires_at = manifest.expires_at
        kinds = {key.partition("/")[0] for key in changed}
        if kinds & {Kind.CATALOGUE}:
            kinds.add(Kind.SCENE)  # made with what the catalogue says
        # What does not change is shared, what does is copied once a version.
        self.parties: dict[str, Party] = _own(base, "parties", Kind.PARTY in kinds)
        self.applications: dict[str, Application] = _own(base, "applications", Kind.APPLICATION in kinds)
        self.catalogue: dict[str, CompiledEntry] = _own(base, "catalogue", Kind.CATALOGUE in kinds)
        self.scenes: dict[str, CompiledScene] = _own(base, "scenes", Kind.SCENE in kinds)
        self.withdrawn: dict[str, int] = _own(base, "withdrawn", Kind.WITHDRAWAL in kinds)  # until when (unix ms)
        self.named: dict[str, tuple[str, ...]] = _own(base, "named", Kind.CATALOGUE in kinds)
        self.checks: dict[tuple[str, str], Callable[[bytes, bytes], None]] = _own(base, "checks", Kind.PARTY in kinds)
        for name in [name for name in self.checks if f"{Kind.PARTY}/{name[0]}" in changed]:
            del self.checks[name]
        same = base is not None and base.applications is self.applications
        self.address_allowed: Callable[[str, str], bool] = (
            base.address_allowed if base and same else _addresses(self.applications)
        )
        self.steps = self._steps(changed)
        if not sliced:
            for _ in self.steps:
                pass

    def after(self, manifest: Manifest, changed: Mapping[str, bytes | None], *, sliced: bool = False) -> Snapshot:
        """The next version: these records put or taken away (None), all others the same; raises RecordError."""
        return Snapshot(manifest, changed, base=self, sliced=sliced)

    def _steps(self, changed: Mapping[str, bytes | None] | Mapping[str, bytes]) -> Iterator[None]:
        by_kind: dict[Kind, list[str]] = {kind: [] for kind in Kind}
        for key in changed:
            kind = _KINDS.get(key.partition("/")[0])
            if kind is None:
                raise RecordError(key, "is of no kind")
            by_kind[kind].append(key)
        for kind in _HELD:
            if kind is Kind.SCENE and by_kind[Kind.CATALOGUE] and self.scenes:
                yield from self._recompiled({key.partition("/")[2] for key in by_kind[Kind.CATALOGUE]})
            for number, key in enumerate(by_kind[kind]):
                self._change(kind, key, changed[key])
                if number % _SLICE == _SLICE - 1:
                    yield

    def _recompiled(self, types: set[str]) -> Iterator[None]:
        """Every scenario that names one of these types was made with what the catalogue said before."""
        told = [(code, one) for code, one in self.scenes.items() if not types.isdisjoint(one.types)]
        for number, (code, one) in enumerate(told):
            self.scenes[code] = compile_scene(one.scene, one.version, self.catalogue)
            if number % _SLICE == _SLICE - 1:
                yield

    def _change(self, kind: Kind, key: str, raw: bytes | None) -> None:
        name = key.partition("/")[2]
        held: dict[str, Any] = getattr(self, _HELD[kind])
        if kind is Kind.CATALOGUE and name in held:
            self._name(held[name], taken_away=True)
        if raw is None:
            held.pop(name, None)
            return
        record, body = read_record(key, raw)
        if isinstance(body, CatalogueEntry):
            held[intern(name)] = compile_entry(body)
            self._name(held[name])
        elif isinstance(body, Scene):
            held[name] = compile_scene(body, record.version, self.catalogue)
        elif isinstance(body, Application):
            held[intern(name)] = compile_application(body)
        else:
            held[name] = body.until if isinstance(body, Withdrawal) else body

    def _name(self, entry: CompiledEntry, *, taken_away: bool = False) -> None:
        code = entry.entry.type_code
        for name in entry.names:
            codes = {*self.named.pop(name, ()), code} - ({code} if taken_away else set())
            if codes:
                self.named[name] = tuple(sorted(codes))

    def types_named(self, name: str) -> tuple[str, ...]:
        """The codes of the types that some province calls so; none: no type of the catalogue has this name."""
        return self.named.get(name, ())

    def verifier(self, party: str, kid: str, alg: str, now_ms: int) -> Callable[[bytes, bytes], None]:
        """A check of (signature, message) under a key of this party valid now; raises LotError("sender"|"key")."""
        jwk = self._key(party, "sig", now_ms, kid)
        if jwk.alg != alg:
            raise LotError("key")
        check = self.checks.get((party, kid))
        if check is None:
            check = self.checks[party, kid] = BY_SIGN_ALG[alg].verifier(jwk)
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


def _own(base: Snapshot | None, name: str, copied: bool) -> dict[Any, Any]:  # noqa: FBT001  # told by the line it stands in
    """The base's, or a copy of it to be changed."""
    held: dict[Any, Any] = getattr(base, name, {})
    return held.copy() if copied else held


_network = lru_cache(maxsize=_ADDRESSES)(ipaddress.ip_network)


def _addresses(applications: Mapping[str, Application]) -> Callable[[str, str], bool]:
    """Whether an application may call from an address; nothing registered: from nowhere."""
    decided: dict[str, bool] = {}

    def allowed(application: str, address: str) -> bool:
        case = f"{application} {address}"
        known = decided.get(case)
        if known is None:
            if len(decided) >= _ADDRESSES:
                decided.clear()
            known = decided[case] = _is_in(address, applications.get(application))
        return known

    return allowed


def _is_in(address: str, application: Application | None) -> bool:
    try:
        host = ipaddress.ip_address(address)
        host = getattr(host, "ipv4_mapped", None) or host  # ::ffff:192.0.2.1 is 192.0.2.1
        return application is not None and any(host in _network(net) for net in application.addresses)
    except ValueError:
        return False
