"""The registrar on real Kafka: what it takes up, what it refuses by name, and what it passes over in silence."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiokafka import TopicPartition
from msgspec.structs import replace

from broker.bus import telemetry
from broker.bus.clock import now_ms
from broker.bus.kafka import consumer
from broker.bus.keys import KeyFile, KeySigner
from broker.registry import registrar as registrar_module
from broker.registry.follower import Follower
from broker.registry.intake import MAX_INTAKE_BYTES, IntakeError, read_refusal, sign_intake
from broker.registry.registrar import Registrar
from broker.registry.transitions import REGISTRAR, Standing
from broker.registry.walk import new_intake, walk
from deploy.local.publish import played_draft
from schemas.filing import UNCHANGED, Action, Draft, Filing, Intake, Refused, State, Transition, Wanted
from schemas.kinds import Kind
from schemas.registry import Distrust, decode_record
from schemas.scenes import Scene, SceneStatus
from schemas.topics import INTAKE, REGISTRY
from tests.contract.agents import until
from tests.support_life import NOW, PARTIES, applied, filed_draft, filed_scene, founded
from tests.support_registry import NODE, application, new_party_keys, record_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiokafka import AIOKafkaProducer

    from broker.registry.snapshot import Snapshot
    from tests.integration.parts import Parts

GROUP = "certlane.registrar"
DAY_MS = 86_400_000


class Office:
    """A registrar, and everybody who hands something in; all tests share the topics, as in life."""

    def __init__(self, parts: Parts, kafka: AIOKafkaProducer, keys: KeyFile) -> None:
        self.parts, self.kafka, self.keys = parts, kafka, keys
        self.refused: dict[str, Refused] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.follower = Follower(
            bootstrap=parts.bootstrap, name="test-office", registrar=keys.signing.public, on_refusal=self._hear
        )
        self.tasks.append(asyncio.create_task(self.follower.run()))

    def _hear(self, text: bytes) -> None:
        with suppress(IntakeError):  # of another test's registrar
            refused = read_refusal(text, self.keys.signing.public)
            self.refused[refused.intake] = refused

    def new_registrar(self, *, renew_seconds: int = DAY_MS) -> Registrar:
        return Registrar(
            bootstrap=self.parts.bootstrap,
            name="test-registrar",
            key=self.keys.signing.public,
            signer=KeySigner(self.keys.signing),
            kafka=self.kafka,
            renew_seconds=renew_seconds,
        )

    def open(self, made: Registrar | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task((made or self.new_registrar()).run())
        self.tasks.append(task)
        return task

    def signed(self, intake: Intake, keys: KeyFile | None = None) -> bytes:
        keys = keys or (self.keys if intake.by == REGISTRAR else PARTIES[intake.by])
        return sign_intake(KeySigner(keys.signing), intake)

    async def put(self, text: bytes) -> None:
        await self.kafka.send_and_wait(INTAKE, text, partition=0)

    async def hand_in(self, *intakes: Intake) -> None:
        for intake in intakes:
            await self.put(self.signed(intake))

    async def decided(self, *intakes: Intake) -> list[str]:
        """The codes of what was refused among these, once all are decided upon."""
        await self.hand_in(*intakes)
        names = {one.id for one in intakes}
        await until(lambda: names <= self.follower.trusted.intakes | self.refused.keys(), seconds=30)
        return [self.refused[one.id].code for one in intakes if one.id in self.refused]

    async def say(self, by: str, *wishes: Transition, at: int = 0) -> str:
        """One intake; "" when it was taken up, else the code of its refusal."""
        return "".join(await self.decided(new_intake(by, wishes, at or now_ms())))

    async def publish(self, *drafts: Draft) -> list[str]:
        """All their steps at once; the codes of those refused."""
        return await self.decided(*walk([(Standing(), one) for one in drafts], lambda _: NODE, now_ms()))

    @property
    def version(self) -> int:
        return self.follower.trusted.version

    @property
    def snapshot(self) -> Snapshot:
        assert self.follower.snapshot
        return self.follower.snapshot

    def scene(self, code: str) -> tuple[Scene, int]:
        record = decode_record(self.follower.trusted.records[f"{Kind.SCENE}/{code}"])
        return msgspec.json.decode(record.body, type=Scene), record.version

    def filing(self, code: str) -> Filing:
        return msgspec.json.decode(
            decode_record(self.follower.trusted.records[f"{Kind.FILING}/{code}"]).body, type=Filing
        )


@pytest.fixture(scope="module")
def keys() -> KeyFile:
    return new_party_keys(REGISTRAR)


@pytest.fixture
async def office(parts: Parts, kafka: AIOKafkaProducer, keys: KeyFile) -> AsyncIterator[Office]:
    await parts.topic(REGISTRY)
    await parts.topic(INTAKE)
    made = Office(parts, kafka, keys)
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


@pytest.fixture
async def opened(office: Office) -> Office:
    """A registrar at work, and what a scenario names."""
    office.open()
    assert await office.say(REGISTRAR, applied(*founded())) in {"", UNCHANGED}
    return office


def fresh_code() -> str:
    return f"YRD-310000-2026-{uuid.uuid4().int % 100_000:05}"


def in_force(action: Action, code: str, now: int, **more: Any) -> Transition:
    return Transition(action=action, key=code, about=str(now), reason="理由", **more)


async def test_all_steps_that_lie_there_are_one_version(opened: Office) -> None:
    """A scenario's eight steps by five parties, handed in together, are folded in order; the scenario is in force."""
    code, before = fresh_code(), opened.version
    assert await opened.publish(filed_draft(scene_code=code)) == []
    assert opened.version - before <= 7  # mostly 1: greedy, yet what comes later is not waited for
    scene, version = opened.scene(code)
    assert (scene, version) == (filed_scene(scene_code=code), 1)
    filing = opened.filing(code)
    assert (filing.state, filing.applicant, set(filing.reviews)) == (State.PUBLISHED, NODE, {"31", "32"})
    assert [step.by for step in filing.steps] == [NODE, "31", "31", "32", REGISTRAR, REGISTRAR]
    assert code in opened.snapshot.scenes


async def test_wrong_parties_states_and_approvers_are_refused_with_the_reason(opened: Office) -> None:
    """Over Kafka too each wrong step is answered by name with code and reason, and changes nothing."""
    draft = filed_draft(scene_code=fresh_code())
    code, about = draft.scene.scene_code, draft.digest

    async def step(by: str, action: Action, **more: Any) -> str:
        return await opened.say(by, Transition(action=action, key=code, **{"about": about, **more}))

    assert await step("32", Action.SUBMIT, draft=draft) == "party"
    assert await step(NODE, Action.SUBMIT, draft=draft) == ""
    assert await step(NODE, Action.SUBMIT, draft=draft) == "state"
    assert await step("32", Action.CHECK) == "party"
    assert await step("31", Action.CHECK, about="another") == "about"
    assert await step("31", Action.CHECK, accept=False) == "reason"
    assert await step("31", Action.CHECK) == ""
    assert await step("33", Action.REVIEW) == "party"
    assert await step("31", Action.REVIEW) == ""
    assert await step("31", Action.REVIEW) == "reviewed"
    assert await step(REGISTRAR, Action.APPROVE) == "reviews"
    assert await step("32", Action.REVIEW) == ""
    assert await step(NODE, Action.APPROVE) == "applicant"
    assert await step("32", Action.APPROVE) == ""
    assert await step("32", Action.PUBLISH) == "party"
    before = opened.version
    assert await step("32", Action.REVIEW) == "state"
    assert opened.version == before
    assert await step(REGISTRAR, Action.PUBLISH) == ""
    last = next(reversed(opened.refused.values()))
    assert "证照源省审核" in last.reason
    assert "the state is APPROVED" in last.reason


async def test_suspend_resume_roll_back_revoke(opened: Office) -> None:
    """In force, a scenario is stopped and resumed by one party only, gone back with, and ended for good."""
    code = fresh_code()
    await opened.publish(filed_draft(scene_code=code))
    assert await opened.say("32", in_force(Action.SUSPEND, code, 1)) == ""
    assert opened.scene(code)[0].suspended_by == "32"
    assert await opened.say(REGISTRAR, in_force(Action.PUBLISH, code, 2)) == "party"
    assert await opened.say("32", in_force(Action.PUBLISH, code, 2)) == ""
    renewal = filed_draft(scene_code=code, scene_name="第二版")
    standing = Standing(opened.filing(code), *opened.scene(code))
    assert await opened.decided(*walk([(standing, renewal)], lambda _: NODE, now_ms())) == []
    assert opened.scene(code) == (renewal.scene, 4)
    assert await opened.say("31", in_force(Action.ROLLBACK, code, 4, version=1)) == "party"
    assert await opened.say(REGISTRAR, in_force(Action.ROLLBACK, code, 4, version=2)) == "version"
    assert await opened.say(REGISTRAR, in_force(Action.ROLLBACK, code, 4, version=1)) == ""
    assert opened.scene(code) == (filed_scene(scene_code=code), 5)
    assert await opened.say("33", in_force(Action.REVOKE, code, 5)) == "party"
    assert await opened.say("31", in_force(Action.REVOKE, code, 5)) == ""
    assert opened.scene(code)[0].status is SceneStatus.REVOKED
    assert await opened.say("31", in_force(Action.REVOKE, code, 6)) == "final"


async def test_an_application_is_rolled_back(opened: Office) -> None:
    """An application goes back to an earlier version as a new one, by the registrar only."""
    key = record_of(application())[0]
    await opened.say(REGISTRAR, applied(replace(application(), per_second=31)))
    first = decode_record(opened.follower.trusted.records[key]).version
    await opened.say(REGISTRAR, applied(replace(application(), per_second=32)))
    assert await opened.say("31", in_force(Action.ROLLBACK, key, first + 1, version=first)) == "party"
    assert await opened.say(REGISTRAR, in_force(Action.ROLLBACK, key, first, version=first)) == "about"
    assert await opened.say(REGISTRAR, in_force(Action.ROLLBACK, key, first + 1, version=first)) == ""
    assert opened.snapshot.applications[application().id].per_second == 31
    assert decode_record(opened.follower.trusted.records[key]).version == first + 2


async def test_an_intake_is_taken_whole_or_not_at_all(opened: Office) -> None:
    """Of an intake whose last transition is wrong nothing is taken."""
    good = filed_draft(scene_code=fresh_code())
    wishes = [Transition(action=Action.SUBMIT, key=good.scene.scene_code, draft=good)]
    wishes.append(Transition(action=Action.CHECK, key=good.scene.scene_code, about="another"))
    assert await opened.say("31", *wishes) == "about"
    assert f"{Kind.FILING}/{good.scene.scene_code}" not in opened.follower.trusted.records


async def test_apply_is_the_registrars_and_never_a_scenario(opened: Office) -> None:
    """Another party applies nothing; a scenario, a filing, a wrong id and a name for nobody are refused."""
    body = filed_scene(scene_code=fresh_code())
    scene = Wanted(kind=Kind.SCENE, id=body.id, body=msgspec.Raw(msgspec.json.encode(body)))
    nobody = replace(application(), id="of-nobody", node="31-nobody")
    assert await opened.say("31", applied(replace(application(), per_second=7))) == "party"
    assert await opened.say(REGISTRAR, Transition(action=Action.APPLY, records=(scene,))) == "kind"
    assert await opened.say(REGISTRAR, applied(nobody)) == "check"
    wrong = msgspec.structs.replace(applied(application()).records[0], id="another")
    assert await opened.say(REGISTRAR, Transition(action=Action.APPLY, records=(wrong,))) == "form"
    torn = msgspec.structs.replace(wrong, id=application().id, body=msgspec.Raw(b"{}"))
    assert await opened.say(REGISTRAR, Transition(action=Action.APPLY, records=(torn,))) == "form"


async def test_a_draft_is_checked_against_what_is_registered(opened: Office) -> None:
    """A draft that names an unknown application, or whose window is over, is refused before anybody looks at it."""
    for changed in ({"applications": ("nobody",)}, {"valid_to": NOW - DAY_MS // 2}):
        draft = filed_draft(scene_code=fresh_code(), **changed)
        code = await opened.say(NODE, Transition(action=Action.SUBMIT, key=draft.scene.scene_code, draft=draft))
        assert code in {"check", "window"}
    assert await opened.publish(filed_draft(scene_code=fresh_code())) == []


async def test_nothing_new_is_no_version(opened: Office) -> None:
    """To apply what stands there already publishes nothing, and says so."""
    before = opened.version
    assert await opened.say(REGISTRAR, applied(*founded()[:3])) == UNCHANGED
    assert opened.version == before


async def test_strangers_are_counted_and_not_answered(opened: Office) -> None:
    """Noise, a foreign key, an unknown party, a party's key for another party, another type: none is answered."""
    wish = applied(replace(application(), per_second=9_999))
    counter = telemetry.REGISTRY_REFUSED.labels(Distrust.INTAKE)._value
    before, version, told = float(counter.get()), opened.version, len(opened.refused)
    intake = new_intake(REGISTRAR, [wish], now_ms())
    texts = [
        b"noise",
        b"",
        opened.signed(intake, new_party_keys(REGISTRAR)),
        opened.signed(intake, PARTIES["31"]),
        opened.signed(new_intake("31", [wish], now_ms()), PARTIES["32"]),
        opened.signed(new_intake("35", [wish], now_ms()), PARTIES["32"]),
        opened.signed(intake).replace(b".", b"", 1),
        opened.signed(intake)[:-8] + b"AAAAAAAA",
    ]
    for text in texts:
        await opened.put(text)
    await until(lambda: float(counter.get()) >= before + len(texts))
    assert await opened.say(REGISTRAR, applied(founded()[0])) == UNCHANGED
    assert (opened.version, len(opened.refused)) == (version, told + 1)


async def test_an_old_or_a_repeated_intake_changes_nothing(opened: Office) -> None:
    """What was signed more than ten minutes from its arrival is refused; the same intake again is passed over."""
    wish = applied(replace(application(), per_second=51))
    assert await opened.say(REGISTRAR, wish, at=now_ms() - 660_000) == "time"
    assert await opened.say(REGISTRAR, wish, at=now_ms() + 660_000) == "time"
    once = new_intake(REGISTRAR, [wish], now_ms())
    assert await opened.decided(once) == []
    assert await opened.say(REGISTRAR, applied(replace(application(), per_second=52))) == ""
    version = opened.version
    await opened.hand_in(once)
    assert await opened.say(REGISTRAR, applied(founded()[0])) == UNCHANGED
    assert (opened.version, opened.snapshot.applications[application().id].per_second) == (version, 52)


async def test_a_refused_intake_is_not_taken_later(opened: Office) -> None:
    """Who replays a refused step once the state would allow it moves nothing."""
    draft = filed_draft(scene_code=fresh_code())
    code, about = draft.scene.scene_code, draft.digest
    early = new_intake("31", [Transition(action=Action.CHECK, key=code, about=about)], now_ms())
    assert await opened.decided(early) == ["state"]
    assert await opened.say(NODE, Transition(action=Action.SUBMIT, key=code, draft=draft)) == ""
    await opened.hand_in(early)
    assert await opened.say(REGISTRAR, applied(founded()[0])) == UNCHANGED
    assert opened.filing(code).state is State.SUBMITTED


async def test_a_refusal_outlives_the_registrar_that_told_it(office: Office) -> None:
    """A registrar that begins anew knows from the topic what was refused before, and never takes it."""
    running = office.open()
    await office.say(REGISTRAR, applied(*founded()))
    draft = filed_draft(scene_code=fresh_code())
    code, about = draft.scene.scene_code, draft.digest
    early = new_intake("31", [Transition(action=Action.CHECK, key=code, about=about)], now_ms())
    assert await office.decided(early) == ["state"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    office.open()
    assert await office.say(NODE, Transition(action=Action.SUBMIT, key=code, draft=draft)) == ""
    await office.hand_in(early)
    assert await office.say(REGISTRAR, applied(founded()[0])) == UNCHANGED
    assert office.filing(code).state is State.SUBMITTED


async def test_a_consent_is_withdrawn_by_its_issuer_until_its_end(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The issuing province withdraws a consent, no other; past the consent's end the renewal takes it away."""
    running = office.open()
    await office.say(REGISTRAR, applied(*founded()))
    name, until_ms = f"32.{uuid.uuid4().hex}", now_ms() + 60_000
    wish = Transition(action=Action.WITHDRAW, key=name, until=until_ms)
    assert await office.say("31", wish) == "party"
    assert await office.say("32", replace(wish, until=now_ms() - 1)) == "window"
    assert await office.say("32", replace(wish, key="32.x")) == "form"
    assert await office.say("32", wish) == ""
    assert await office.say("32", replace(wish, until=until_ms - 1)) == UNCHANGED
    assert office.snapshot.withdrawn[name] == until_ms
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    monkeypatch.setattr(registrar_module, "MAX_APART_MS", -DAY_MS)  # a day later
    office.open(office.new_registrar(renew_seconds=0))
    await until(lambda: name not in office.snapshot.withdrawn, seconds=30)
    assert f"{Kind.WITHDRAWAL}/{name}" not in office.follower.trusted.records


async def test_a_crash_between_publishing_and_committing_takes_nothing_twice(office: Office) -> None:
    """What was published and not committed is read again by the next registrar, and neither doubled nor refused."""
    made = office.new_registrar()
    taken = made.take
    stuck = asyncio.Event()

    async def take_and_die(found: Sequence[Any]) -> None:
        await taken(found)
        stuck.set()
        await asyncio.Event().wait()  # published, and killed before the commit

    made.take = take_and_die  # type: ignore[method-assign]
    running = office.open(made)
    first = new_intake(REGISTRAR, [applied(*founded(), replace(application(), id="app-crash"))], now_ms())
    draft = filed_draft(scene_code=fresh_code())
    steps = walk([(Standing(), draft)], lambda _: NODE, now_ms())
    await office.hand_in(first)
    await stuck.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    before = (await office.parts.committed(GROUP, INTAKE)).get(0, 0)
    office.open()
    assert await office.decided(*steps) == []
    assert first.id in office.follower.trusted.intakes
    assert first.id not in office.refused
    assert office.scene(draft.scene.scene_code)[1] == 1
    assert decode_record(office.follower.trusted.records["application/app-crash"]).version == 1
    ends = await _end(office)
    assert ends > before
    await until_committed(office, ends)


async def _end(office: Office) -> int:
    reader = consumer(office.parts.bootstrap, "test-ends")
    await reader.start()
    try:
        return int((await reader.end_offsets([TopicPartition(INTAKE, 0)]))[TopicPartition(INTAKE, 0)])
    finally:
        await reader.stop()


async def until_committed(office: Office, offset: int) -> None:
    async with asyncio.timeout(30):
        while (await office.parts.committed(GROUP, INTAKE)).get(0, 0) < offset:  # noqa: ASYNC110  # asked of Kafka
            await asyncio.sleep(0.1)


async def test_much_is_several_versions(opened: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """More records than one version may change are several, and the wish counts as taken up with the last."""
    monkeypatch.setattr(registrar_module, "MAX_CHANGED", 4)
    many = [replace(application(), id=f"many-{uuid.uuid4().hex[:8]}") for _ in range(10)]
    before = opened.version
    assert await opened.say(REGISTRAR, applied(*many)) == ""
    assert opened.version == before + 3
    assert {one.id for one in many} <= opened.snapshot.applications.keys()


def test_a_refusal_is_believed_of_the_registrar_only(keys: KeyFile) -> None:
    """What another key has signed, or is no refusal, is none."""
    intake = new_intake(REGISTRAR, [applied(application())], now_ms())
    for text in (b"", b"a.b.c", sign_intake(KeySigner(keys.signing), intake)):
        with pytest.raises(IntakeError):
            read_refusal(text, keys.signing.public)


def test_a_walk_fits_kafka_however_large_its_drafts() -> None:
    """Of many large drafts as many are filed together as one record of Kafka takes, all of them and in their order."""
    drafts = [filed_draft(scene_code=f"YRD-310000-2026-{number:05}") for number in range(1, 41)]
    large = [replace(one, attachments=("x" * 128,) * 400) for one in drafts]
    intakes = walk([(Standing(), one) for one in large], lambda _: NODE, NOW)
    submits = [one for one in intakes if one.transitions[0].action is Action.SUBMIT]
    assert [wish.draft for one in submits for wish in one.transitions] == large
    assert len(submits) > 1
    assert all(len(sign_intake(KeySigner(PARTIES[NODE].signing), one)) < MAX_INTAKE_BYTES for one in intakes)


def test_played_drafts_justify_every_field() -> None:
    """The draft that a sandbox files for a scenario names each field that it asks for."""
    draft = played_draft(filed_scene())
    assert {code: set(told) for code, told in draft.justifications.items()} == {
        kind.type_code: {*kind.fields, *kind.masked_fields} for kind in draft.scene.types
    }
