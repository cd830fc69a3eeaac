"""What keeps a party's Redis at the truth: by changes, whole where there is doubt, and record by record in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from broker.registry.refusing import refuse, refuse_all
from broker.registry.stored import Write
from broker.registry.trust import RegistryError, verify_manifest
from schemas.registry import Distrust, decode_record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from broker.registry.stored import Head, StoredRegistry
    from broker.registry.trust import TrustedRecords
    from schemas.jose import Jwk

AUDITED = 512  # records a turn
_AUDIT_MS = 400
_MOST_CHANGED, _MOST_BYTES = 4_096, 8 << 20  # more than that is written whole
_PART = "redis"


class Upkeep:
    """One follower's hand in its party's Redis; what the registrar signed wins over whatever lies there."""

    def __init__(self, stored: StoredRegistry, trusted: TrustedRecords, registrar: Jwk) -> None:
        self._stored, self._trusted, self._registrar = stored, trusted, registrar
        self._written = b""  # the manifest that we know to stand there
        self._written_version = 0
        self._audited_ms = 0
        self._round: list[str] = []

    async def turn(self, now_ms: int) -> bool:
        """Bring Redis to our version, say that it stands, look at some records; raises RedisError.

        False when another follower is further than we, or was quicker; the next turn sees.
        """
        trusted = self._trusted
        if self._written == trusted.manifest_jws:
            done = await self._stored.stood(trusted.version, now_ms)
        else:
            done = await self._follow(now_ms)
        if not done:
            done = await self._reconcile(now_ms)
        if done and now_ms - self._audited_ms >= _AUDIT_MS:
            self._audited_ms = now_ms
            await self._audit(now_ms)
        return done

    async def _follow(self, now_ms: int) -> bool:
        """From what stands there to what is trusted now, where that is little."""
        trusted = self._trusted
        known = trusted.history.get(self._written_version)
        if known is None or known.jws != self._written:
            return False
        moves = [signed for signed in trusted.history.values() if signed.manifest.version > self._written_version]
        keys = {key for signed in moves for key in signed.manifest.changed}
        put = {key: trusted.records[key] for key in keys if key in trusted.records}
        if len(keys) > _MOST_CHANGED or sum(map(len, put.values())) > _MOST_BYTES:
            return False
        history = {signed.manifest.version: signed.jws for signed in moves}
        return await self._change(now_ms, history=history, put=put, dropped=tuple(keys - put.keys()))

    async def _change(
        self,
        now_ms: int,
        *,
        history: Mapping[int, bytes] | None = None,
        put: Mapping[str, bytes] | None = None,
        dropped: tuple[str, ...] = (),
    ) -> bool:
        trusted = self._trusted
        write = Write(trusted.version, trusted.manifest_jws, now_ms, self._written, history or {}, put or {}, dropped)
        done = await self._stored.change(write)
        if done:
            self._wrote()
        return done

    def _wrote(self) -> None:
        self._written, self._written_version = self._trusted.manifest_jws, self._trusted.version

    async def _reconcile(self, now_ms: int) -> bool:
        """What lies there is not what we left: leave it if it is newer and genuine, else bring the truth."""
        head, trusted = (await self._stored.records()).head, self._trusted
        wrong, version = self._wrong(head)
        if wrong is None and version > trusted.version:
            return False
        if wrong is not None:
            refuse(wrong, trusted.version, part=_PART)
        if head.records and head.manifest == trusted.manifest_jws:
            self._wrote()
            return await self._change(now_ms)
        if wrong is None and version:  # what we have left, or another follower: go on from there
            self._written, self._written_version = head.manifest, version
            if await self._follow(now_ms):
                return True
        rolled_back = wrong is not None and wrong.reason is Distrust.ROLLED_BACK
        history = {version: signed.jws for version, signed in trusted.history.items()}
        write = Write(trusted.version, trusted.manifest_jws, now_ms, head.manifest, history, new_life=rolled_back)
        done = await self._stored.replace(write, dict(trusted.records))
        if done:
            self._wrote()
        return done

    def _wrong(self, head: Head) -> tuple[RegistryError | None, int]:
        """What is wrong with what stands beside the records, and the version that is proven there.

        An older version is wrong only where we have written a newer one: then Redis went back in time.
        """
        trusted = self._trusted
        if not (head.manifest and head.version and head.epoch and head.records):
            told = RegistryError(Distrust.MISSING, "redis has lost the registry or a part of it")
            return (told if self._written or head.manifest else None), 0
        try:
            version = verify_manifest(head.manifest, self._registrar).version
        except RegistryError as error:
            return error, 0
        if version == trusted.version and head.manifest != trusted.manifest_jws:
            return RegistryError(Distrust.ROLLED_BACK, f"another manifest of version {version}"), version
        if version < self._written_version:
            return RegistryError(Distrust.ROLLED_BACK, f"redis went back to version {version}"), version
        if head.version != str(version).encode():
            return RegistryError(Distrust.CHANGED, f"redis says another version than its manifest's {version}"), version
        return None, version

    async def _audit(self, now_ms: int) -> None:
        """Compare some records with the truth, each in its turn, and put right what differs."""
        trusted = self._trusted
        held = await self._stored.records(self._next())
        if held.head.manifest != trusted.manifest_jws:
            await self._reconcile(now_ms)
            return
        wrong = [key for key, value in held.values.items() if value != trusted.records.get(key)]
        errors = [_told(key, trusted.records.get(key), held.values[key]) for key in wrong]
        if not wrong and held.head.records != len(trusted.records):
            errors = await self._compared()
            wrong = [error.record for error in errors]
        refuse_all(errors, trusted.version, part=_PART)
        if wrong:
            put = {key: trusted.records[key] for key in wrong if key in trusted.records}
            await self._change(now_ms, put=put, dropped=tuple(key for key in wrong if key not in put))

    def _next(self) -> list[str]:
        if not self._round:
            self._round = list(self._trusted.records)
        keys = self._round[-AUDITED:]
        del self._round[-AUDITED:]
        return [key for key in keys if key in self._trusted.records]

    async def _compared(self) -> list[RegistryError]:
        """What is there too much or too little."""
        records, seen = self._trusted.records, set[str]()
        async for piece in self._stored.scan():
            seen |= piece.keys()
        lost = (key for key in records if key not in seen)
        extra = (key for key in seen if key not in records)
        errors = [RegistryError(Distrust.MISSING, "a record was taken out of redis", key) for key in lost]
        return errors + [RegistryError(Distrust.STRAY, "a record that was put into redis", key) for key in extra]


def _told(key: str, right: bytes | None, found: bytes | None) -> RegistryError:
    """What somebody has done to a record in Redis."""
    if found is None:
        return RegistryError(Distrust.MISSING, "a record was taken out of redis", key)
    if right is None:
        return RegistryError(Distrust.STRAY, "a record that was put into redis", key)
    try:
        older = decode_record(found).version < decode_record(right).version
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        older = False
    told = "a record in redis is an older one" if older else "a record in redis has other bytes"
    return RegistryError(Distrust.ROLLED_BACK if older else Distrust.CHANGED, told, key)
