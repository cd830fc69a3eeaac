"""Which registry may be believed: trust rules apart from I/O (the registrar's key, versions that rise, the root)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from broker.registry.snapshot import RecordError, Snapshot
from broker.registry.staging import Staging
from schemas.jose import JoseError, parse_jws
from schemas.record_tree import RecordTree
from schemas.registry import MAX_MANIFEST_CHARS, Distrust, Manifest, decode_manifest, decode_record, digest_of
from schemas.suites import BY_SIGN_ALG, CryptoError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.jose import Jwk

KEPT_MANIFESTS = 256
_MAX_WAITING = 1_024


class RegistryError(Exception):
    """Something of the registry that must not be used: why (`reason`), which record, and in words."""

    def __init__(self, reason: Distrust, message: str, record: str = "") -> None:
        super().__init__(message)
        self.reason, self.record = reason, record


class Signed(NamedTuple):
    """A manifest of the registrar and the very bytes that it signed."""

    manifest: Manifest
    jws: bytes


def verify_manifest(jws_text: bytes, registrar: Jwk) -> Manifest:
    """The manifest of a compact JWS by the registrar; raises RegistryError."""
    try:
        jws = parse_jws(jws_text, MAX_MANIFEST_CHARS)
        if jws.header.kid != registrar.kid or jws.header.alg != registrar.alg:
            raise RegistryError(Distrust.SIGNER, "manifest of a foreign signer")
        BY_SIGN_ALG[jws.header.alg].verifier(registrar)(jws.signature, jws.signing_input)
        return decode_manifest(jws.payload)
    except CryptoError as error:
        raise RegistryError(Distrust.SIGNATURE, f"manifest: {error}") from error
    except (JoseError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(Distrust.FORM, f"manifest: {error}") from error


def verify_records(manifest: Manifest, tree: RecordTree) -> None:
    """The records of this tree are exactly those the registrar signed; raises RegistryError."""
    if tree.count != manifest.count or tree.root() != manifest.root:
        reason = Distrust.MISSING if tree.count < manifest.count else Distrust.CHANGED
        raise RegistryError(reason, f"records are not those of version {manifest.version}")


def check_record(key: str, value: bytes | None, digest: str) -> None:
    """A record is what a manifest names under its key ("": it is taken away); raises RegistryError."""
    if (value is None) != (not digest):
        told = "is missing" if value is None else "should be gone"
        raise RegistryError(Distrust.CHANGED if value else Distrust.MISSING, f"record {key} {told}", key)
    if value is None:
        return
    if digest_of(value) != digest:
        raise RegistryError(Distrust.CHANGED, f"record {key} has other bytes than were signed", key)
    try:
        own = decode_record(value).key
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(Distrust.FORM, f"record {key}: {error}", key) from error
    if own != key:
        raise RegistryError(Distrust.FORM, f"record {key} says of itself that it is {own}", key)


def verified_snapshot(jws_text: bytes, records: Mapping[str, bytes], registrar: Jwk) -> Snapshot:
    """The snapshot of these records if they are exactly those the registrar signed; raises RegistryError."""
    manifest = verify_manifest(jws_text, registrar)
    verify_records(manifest, RecordTree(records))
    try:
        return Snapshot(manifest, records)
    except RecordError as error:
        raise RegistryError(Distrust.FORM, f"version {manifest.version}: {error}", error.key) from error


class TrustedRecords:
    """The current records as the registrar's manifests made them, fed with the topic's records in order.

    `records` is changed in place, version by version.
    """

    def __init__(self, registrar: Jwk) -> None:
        self._registrar = registrar
        self.records: dict[str, bytes] = {}
        self.tree = RecordTree()
        self.manifest_jws = b""
        self.manifest: Manifest | None = None
        self.snapshot: Snapshot | None = None
        self.intakes: set[str] = set()  # what this process has seen taken up
        self.newest = 0  # the highest version the registrar has signed, whether we could take it or not
        self.history: OrderedDict[int, Signed] = OrderedDict()  # the last 256
        self.staging = Staging()
        self._waiting: OrderedDict[int, Signed] = OrderedDict()  # signed, and not to be taken yet

    @property
    def version(self) -> int:
        return self.manifest.version if self.manifest else 0

    def stage(self, value: bytes, key: str = "", at_ms: int = 0) -> Snapshot | None:
        """Remember a record until a manifest names its digest; the snapshot when one was waiting for it."""
        self.staging.put(value, key, at_ms)
        return self._advance() if self._waiting else None

    def take(self, jws_text: bytes) -> Snapshot | None:
        """Move on to this manifest's version; None when it is the one we have. Raises RegistryError and stays.

        One that cannot be taken yet waits: what it lacks may come after it. Of two manifests of one version only the
        first in the topic's order ever counts.
        """
        manifest = verify_manifest(jws_text, self._registrar)
        self.newest = max(self.newest, manifest.version)
        known = self._waiting.get(manifest.version)
        if jws_text == (known.jws if known else self.manifest_jws):
            return None
        if manifest.version <= self.version or known:
            what = f"version {manifest.version}, when {self.version} is known and {self.newest} signed"
            raise RegistryError(Distrust.ROLLED_BACK, f"another or an older manifest: {what}")
        self._waiting[manifest.version] = Signed(manifest, jws_text)
        while len(self._waiting) > _MAX_WAITING:
            self._waiting.popitem(last=False)
        snapshot = self._advance()
        if manifest.version > self.version:
            self._explain(manifest)
        return snapshot

    def adopt(self, other: TrustedRecords) -> None:
        """Become another that has read the same topic anew; who holds us sees the change."""
        self.__dict__.update(other.__dict__)

    def _explain(self, manifest: Manifest) -> None:
        """Raise why this manifest waits."""
        following = self._waiting.get(self.version + 1)
        if following is None or following.manifest.previous != self.version:
            raise RegistryError(Distrust.GAP, f"version {manifest.version} does not follow {self.version}")
        lost = self._lost(following.manifest)
        raise RegistryError(Distrust.MISSING, f"record {lost} of version {following.manifest.version} is missing", lost)

    def _lost(self, manifest: Manifest) -> str:
        return next((k for k, digest in manifest.changed.items() if digest and self.staging.get(digest) is None), "")

    def _advance(self) -> Snapshot | None:
        """Take every waiting version that follows and has all its records; raises RegistryError for a wrong one."""
        snapshot = None
        while (signed := self._waiting.get(self.version + 1)) and signed.manifest.previous == self.version:
            if self._lost(signed.manifest):
                break
            del self._waiting[signed.manifest.version]
            snapshot = self._move(signed)
        return snapshot

    def _move(self, signed: Signed) -> Snapshot:
        manifest = signed.manifest
        changed = {key: self.staging.get(digest) if digest else None for key, digest in manifest.changed.items()}
        for key, value in changed.items():
            check_record(key, value, manifest.changed[key])
        before = self.tree.apply(changed)
        try:
            verify_records(manifest, self.tree)
            snapshot = (self.snapshot or Snapshot(manifest, {})).after(manifest, changed)
        except RecordError as error:
            self.tree.undo(before)
            raise RegistryError(Distrust.FORM, f"version {manifest.version}: {error}", error.key) from error
        except RegistryError:
            self.tree.undo(before)
            raise
        self._keep(signed, changed)
        self.snapshot = snapshot
        return snapshot

    def _keep(self, signed: Signed, changed: Mapping[str, bytes | None]) -> None:
        for key, value in changed.items():
            if value is None:
                self.records.pop(key, None)
            else:
                self.records[key] = value
                self.staging.drop(signed.manifest.changed[key])
        self.manifest, self.manifest_jws = signed
        self.intakes.update(signed.manifest.intakes)
        self.history[signed.manifest.version] = signed
        while len(self.history) > KEPT_MANIFESTS:
            self.history.popitem(last=False)
