"""The shadow replay: what was judged in the last hours, judged by the registry in force and by a planned one."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from broker.bus.keys import KeyOpener
from deploy.details import Details
from workers.consents import Consents
from workers.judge import Grant, Refusal, judge
from workers.replaying import ReplayError, rebuilt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from broker.bus.keys import KeyFile
    from broker.registry.snapshot import Snapshot
    from deploy.details import Progress, Recorded
    from workers.judge import Case

_MOST_ROWS = 10_000
OTHERS = "…"


class Shift(NamedTuple):
    """A kind of request that would be judged otherwise."""

    scene: str
    interface: str
    type_code: str
    before: str
    after: str


class Shadow(NamedTuple):
    """What a province's own records say of a plan: how many were judged, which otherwise (count, a sample's id).

    `strange` counts what could not be opened or rebuilt.
    """

    province: str
    judged: int
    shifts: Mapping[Shift, tuple[int, str]]
    strange: int

    @property
    def otherwise(self) -> int:
        return sum(count for count, _ in self.shifts.values())


async def shadow(
    bootstrap: str,
    keys: KeyFile,
    before: Snapshot,
    after: Snapshot,
    *,
    since_ms: int,
    say: Callable[[Progress], None] = lambda _: None,
) -> Shadow:
    """Every recorded judgement from this time on, judged by both at its own clock. Raises KafkaError, OSError."""
    details, both = Details(bootstrap, keys, say=say, name="plan"), Both(keys, before, after)
    judged = 0
    shifts: dict[Shift, tuple[int, str]] = {}
    async with aclosing(details.read(since_ms=since_ms)) as read:
        async for one in read:
            shift = both.judge(one)
            judged += shift is not None
            if shift is None or shift.before == shift.after:
                continue
            if shift not in shifts and len(shifts) >= _MOST_ROWS:
                shift = Shift(OTHERS, OTHERS, OTHERS, OTHERS, OTHERS)
            count, sample = shifts.get(shift, (0, one.request_id))
            shifts[shift] = count + 1, sample
    return Shadow(keys.party, judged, shifts, details.strange + both.strange)


class Both:
    """Judges by two versions; each has proofs of its own, for a consent is opened by the version that asks for it."""

    def __init__(self, keys: KeyFile, before: Snapshot, after: Snapshot) -> None:
        self._province, self._before, self._after = keys.party, before, after
        opener = KeyOpener(keys.sealing)
        self._proofs, self._planned_proofs = Consents(keys, opener), Consents(keys, opener)
        self.strange = 0

    def judge(self, recorded: Recorded) -> Shift | None:
        """How both judge it; None for what no judge saw."""
        detail = recorded.detail
        try:
            case, malformed = rebuilt(detail, self._province, self._before, self._proofs)
        except ReplayError:
            self.strange += 1
            return None
        if malformed is not None or detail.condition == "lot":
            return None
        now = detail.judged or detail.hops.get("judged", 0)
        consent, wrong = self._planned_proofs.opened(case.item.head, self._after, now)
        was = judge(case, self._before, self._province, now)
        will = judge(case._replace(consent=consent, consent_wrong=wrong), self._after, self._province, now)
        return Shift(self._scene(case), case.item.interface, self._type(case), *_told(was, will))

    def _scene(self, case: Case) -> str:
        code = case.item.head.scene_code or ""
        return code if code in self._before.scenes or code in self._after.scenes else OTHERS

    def _type(self, case: Case) -> str:
        """Only what a registry knows: what callers write is without bound."""
        identifier = case.form.identifier
        code = identifier.type_code if identifier else getattr(case.data, "type_code", None) or ""
        return code if not code or code in self._before.catalogue or code in self._after.catalogue else OTHERS


def _told(was: Grant | Refusal, will: Grant | Refusal) -> tuple[str, str]:
    """Both in words, the same when the judgements are; a scenario's version and its limits are no difference."""
    before, after = _outcome(was), _outcome(will)
    if not isinstance(was, Grant) or not isinstance(will, Grant):
        return before, after
    if (was.types, was.code_fields) == (will.types, will.code_fields):
        return before, before
    old, new = _leaving(was), _leaving(will)
    told = [*(f"+{one}" for one in sorted(new - old)), *(f"-{one}" for one in sorted(old - new))]
    return before, f"{after} {' '.join(told) or '掩码 / masks'}"


def _outcome(result: Grant | Refusal) -> str:
    return f"{result.code} {result.condition}" if isinstance(result, Refusal) else "0"


def _leaving(grant: Grant) -> frozenset[str]:
    """Type by type what a grant lets out in full; shortened fields are marked so."""
    whole = {f"code.{one}" for one in grant.code_fields}
    for code, granted in grant.types.items():
        serial = code[-4:] if len(grant.types) > 1 else ""
        whole |= {f"{serial and serial + '.'}{one}{'*' if one in granted.masked else ''}" for one in granted.granted}
    return frozenset(whole)
