"""Which registry may be believed: trust rules apart from I/O (the registrar's key, versions that rise, the root)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from broker.registry.snapshot import Snapshot
from schemas.jose import JoseError, parse_jws
from schemas.registry import MAX_MANIFEST_CHARS, Manifest, decode_manifest, digest_of, root_of
from schemas.suites import BY_SIGN_ALG, CryptoError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from schemas.jose import Jwk

_MAX_STAGED_BYTES = 256 << 20


class RegistryError(Exception):
    """A manifest or a set of records that must not be used; the message names which and why."""


def verify_manifest(jws_text: bytes, registrar: Jwk) -> Manifest:
    """The manifest of a compact JWS by the registrar; raises RegistryError."""
    try:
        jws = parse_jws(jws_text, MAX_MANIFEST_CHARS)
        if jws.header.kid != registrar.kid or jws.header.alg != registrar.alg:
            raise RegistryError("manifest of a foreign signer")
        BY_SIGN_ALG[jws.header.alg].verifier(registrar)(jws.signature, jws.signing_input)
        return decode_manifest(jws.payload)
    except (JoseError, CryptoError, msgspec.DecodeError) as error:
        raise RegistryError(f"manifest: {error}") from error


def verified_snapshot(jws_text: bytes, records: Mapping[str, bytes], registrar: Jwk, *, at_least: int = 0) -> Snapshot:
    """The snapshot of these records if they are exactly those the registrar signed; raises RegistryError."""
    manifest = verify_manifest(jws_text, registrar)
    if manifest.version < at_least:
        raise RegistryError(f"version {manifest.version} is older than {at_least}")
    if len(records) != manifest.count or root_of(records) != manifest.root:
        raise RegistryError(f"records are not those of version {manifest.version}")
    try:
        return Snapshot(manifest, records)
    except msgspec.DecodeError as error:
        raise RegistryError(f"version {manifest.version}: {error}") from error


class TrustedRecords:
    """The current records as the registrar's manifests made them, fed with the topic's records in order."""

    def __init__(self, registrar: Jwk) -> None:
        self._registrar = registrar
        self.records: dict[str, bytes] = {}
        self.manifest_jws = b""
        self.manifest: Manifest | None = None
        self.intakes: set[str] = set()  # what this process has seen taken up
        self.newest = 0  # the highest version the registrar has signed, whether we could take it or not
        self._staged: OrderedDict[str, bytes] = OrderedDict()
        self._staged_bytes = 0

    @property
    def version(self) -> int:
        return self.manifest.version if self.manifest else 0

    def stage(self, value: bytes) -> None:
        """Remember a record until a manifest names its digest; a flood of strangers' records pushes out the oldest."""
        digest = digest_of(value)
        if digest in self._staged:
            return
        self._staged[digest] = value
        self._staged_bytes += len(value)
        while self._staged_bytes > _MAX_STAGED_BYTES:
            self._staged_bytes -= len(self._staged.popitem(last=False)[1])

    def take(self, jws_text: bytes) -> Snapshot | None:
        """Move on to this manifest's version; None when it is one we have. Raises RegistryError and stays."""
        manifest = verify_manifest(jws_text, self._registrar)
        self.newest = max(self.newest, manifest.version)
        if manifest.version <= self.version:
            return None
        if manifest.previous != self.version:
            raise RegistryError(f"version {manifest.version} does not follow {self.version}")
        after = dict(self.records)
        for key, digest in manifest.changed.items():
            if not digest:
                after.pop(key, None)
            elif digest in self._staged:
                after[key] = self._staged[digest]
            else:
                raise RegistryError(f"record {key} of version {manifest.version} is missing")
        snapshot = verified_snapshot(jws_text, after, self._registrar)
        self.records, self.manifest, self.manifest_jws = after, manifest, jws_text
        self._staged, self._staged_bytes = OrderedDict(), 0
        self.intakes.update(manifest.intakes)
        return snapshot
