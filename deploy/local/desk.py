"""A party's place at the registry: it knows what is in force, hands in signed intake, and hears what became of it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self

from aiokafka import TopicPartition

from broker.bus import kafka
from broker.bus.keys import KeySigner, read_keys
from broker.registry.folding import Book
from broker.registry.intake import IntakeError, read_refusal, sign_intake
from broker.registry.transitions import REGISTRAR
from broker.registry.trust import RegistryError, TrustedRecords
from deploy.local.home import LocalStackError
from schemas.filing import UNCHANGED, Action, Intake, Refused
from schemas.registry import MANIFEST_KEY, REFUSAL_KEY
from schemas.topics import INTAKE, REGISTRY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiokafka.structs import ConsumerRecord

    from deploy.local.home import Home

_WAIT_SECONDS = 30.0
_PARTITION = TopicPartition(REGISTRY, 0)
_SILENT = "the registrar does not answer; look into log/registrar.log, and `certlane start registrar`"


class RefusedIntakeError(LocalStackError):
    """The registrar has not taken an intake; the text says why, in Chinese and English."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(f"{refused.code}: {refused.reason}")
        self.refused = refused


class Desk:
    """Reads the registry topic from its beginning; `registrar` is the key that every manifest is held against."""

    def __init__(self, home: Home, bootstrap: str) -> None:
        self._home, self._bootstrap = home, bootstrap
        self.registrar = read_keys(home.keys / f"{REGISTRAR}.public.json").signing
        self.trusted = TrustedRecords(self.registrar)
        self.refused: dict[str, Refused] = {}

    async def __aenter__(self) -> Self:
        """Stand at the topic's end; raises LocalStackError when Kafka does not answer."""
        self._producer = kafka.producer(self._bootstrap, "certlane-desk")
        self._reader = kafka.consumer(self._bootstrap, "certlane-desk")
        self._reader.assign([_PARTITION])
        await asyncio.gather(self._producer.start(), self._reader.start())
        await self._reader.seek_to_beginning(_PARTITION)
        end = (await self._reader.end_offsets([_PARTITION]))[_PARTITION]
        while await self._reader.position(_PARTITION) < end:
            await self._read()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(self._producer.stop(), self._reader.stop())

    @property
    def book(self) -> Book:
        """What is in force."""
        return Book(self.trusted.records)

    async def hand_in(self, intakes: Sequence[Intake]) -> None:
        """Sign each by the party it names, and wait for what becomes of them.

        Raises RefusedIntakeError for the first that was refused, LocalStackError for a key that is not here and for a
        registrar that does not answer.
        """
        for intake in intakes:
            signer = self._signer(intake.by, or_now=any(one.action is Action.APPLY for one in intakes[0].transitions))
            await self._producer.send(INTAKE, sign_intake(signer, intake), partition=0)
        await self._producer.flush()
        ends = time.monotonic() + _WAIT_SECONDS
        names = [intake.id for intake in intakes]
        while not self.trusted.intakes.issuperset(name for name in names if not self._is_so(name)):
            if time.monotonic() > ends:
                raise LocalStackError(_SILENT)
            await self._read()

    def _is_so(self, name: str) -> bool:
        """Whether an intake asked for what stands there already; raises RefusedIntakeError for one not taken else."""
        refused = self.refused.get(name)
        if refused is not None and refused.code != UNCHANGED:
            raise RefusedIntakeError(refused)
        return refused is not None

    def _signer(self, party: str, *, or_now: bool) -> KeySigner:
        """The party's; of one that nobody has registered the registrar would believe, and say, nothing."""
        known = self.trusted.snapshot is not None and party in self.trusted.snapshot.parties
        if not known and not or_now and party != REGISTRAR:
            raise LocalStackError(f"{party} is not registered; `certlane registry apply` a folder that names it")
        path = self._home.keys / f"{party}.json"
        if not path.exists():
            raise LocalStackError(f"no keys of {party} in {self._home.keys}; --as names a party whose keys lie there")
        return KeySigner(read_keys(path).signing)

    async def _read(self) -> None:
        for record in (await self._reader.getmany(_PARTITION, timeout_ms=500)).get(_PARTITION, []):
            self._feed(record)

    def _feed(self, record: ConsumerRecord[bytes, bytes]) -> None:
        value = record.value or b""
        try:
            if record.key == REFUSAL_KEY:
                refused = read_refusal(value, self.registrar)
                self.refused[refused.intake] = refused
            elif record.key != MANIFEST_KEY:
                self.trusted.stage(value)
            else:
                self.trusted.take(value)
        except (RegistryError, IntakeError):
            return  # a stranger's; the followers' metrics tell it
