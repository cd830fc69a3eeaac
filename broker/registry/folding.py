"""What an intake makes of the records in force: all of its transitions in their order, or none (pure)."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from broker.registry.authoring import Known, check_draft, check_record, known_of
from broker.registry.lifecycle import YEAR_MS, LifecycleError, move
from broker.registry.transitions import REGISTRAR, Signed, Standing
from schemas.catalogue import CatalogueEntry
from schemas.filing import UNCHANGED, Action, Filing, Intake, Transition, Wanted
from schemas.jose import MALFORMED
from schemas.kinds import Kind
from schemas.regions import PROVINCES
from schemas.registry import BODIES, Application, Record, Withdrawal, decode_record
from schemas.scenes import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from schemas.registry import Body

_CONSENT = re.compile(r"(?P<province>[0-9]{2})\.[0-9a-f]{32}")
_ID = re.compile(r"[0-9A-Za-z._-]{1,128}")
FOUNDATIONS: Final = (Kind.CATALOGUE, Kind.PARTY, Kind.APPLICATION)  # what `apply` puts, in the order of publication
_REVERSIBLE: Final[dict[Kind, type[Body]]] = {Kind.CATALOGUE: CatalogueEntry, Kind.APPLICATION: Application}
_MOST_COMPLAINTS = 10
_encode = msgspec.json.Encoder().encode
_Some = TypeVar("_Some", Scene, Filing)


class Rules(NamedTuple):
    """What a transition is held against besides the records: whom they may name, and what was once in force.

    `earlier` is the record of a key in a version, None: it never was.
    """

    known: Known
    earlier: Callable[[str, int], Record | None]


class Book:
    """The records in force and, over them, what this intake has changed so far."""

    def __init__(self, *layers: Mapping[str, bytes]) -> None:
        self.changed: dict[str, bytes] = {}
        self._layers = (self.changed, *layers)

    def record(self, key: str) -> Record | None:
        raw = next((layer[key] for layer in self._layers if key in layer), None)
        return None if raw is None else decode_record(raw)

    def body(self, key: str, kind: type[_Some]) -> _Some | None:
        record = self.record(key)
        return None if record is None else msgspec.json.decode(record.body, type=kind)

    def put(self, kind: Kind, name: str, body: Body) -> None:
        """A new version, where the body differs from the one in force."""
        key, raw = f"{kind}/{name}", _encode(body)
        old = self.record(key)
        if old is None or bytes(old.body) != raw:
            version = old.version + 1 if old else 1
            self.changed[key] = _encode(Record(kind=kind, id=name, version=version, body=msgspec.Raw(raw)))

    def standing(self, scene_code: str) -> Standing:
        """How a scenario stands."""
        record = self.record(f"{Kind.SCENE}/{scene_code}")
        scene = msgspec.json.decode(record.body, type=Scene) if record else None
        return Standing(self.body(f"{Kind.FILING}/{scene_code}", Filing), scene, record.version if record else 0)


def fold(intake: Intake, rules: Rules, *layers: Mapping[str, bytes]) -> dict[str, bytes]:
    """The records that this intake changes; `layers` are those in force, the newest first. Raises LifecycleError."""
    book = Book(*layers)
    signed = Signed(intake.by, intake.id, intake.time)
    for wish in intake.transitions:
        _FOLDS.get(wish.action, _scene)(book, wish, signed, rules)
    if not book.changed:
        raise LifecycleError(UNCHANGED, "与现行登记一致，没有变化", "all of it is so already")
    return book.changed


def _apply(book: Book, wish: Transition, signed: Signed, rules: Rules) -> None:
    _registrar_only(wish, signed)
    bodies: list[Body] = []
    for wanted in wish.records:
        if wanted.kind not in FOUNDATIONS:
            raise LifecycleError(
                "kind",
                f"{wanted.kind} {wanted.id} 不能直接登记：场景须经申请、审核、批准、发布",
                f"{wanted.kind} {wanted.id} is not applied: scenarios go through submit, review, approve, publish",
            )
        body = _decoded(wanted)
        if wanted.id != body.id or wanted.id == REGISTRAR or not _ID.fullmatch(wanted.id):
            raise LifecycleError("form", f"{wanted.id} 的编号不符", f"{wanted.kind} {wanted.id}: a wrong id")
        book.put(wanted.kind, wanted.id, body)
        bodies.append(body)
    known = rules.known.under(known_of(bodies))
    for wanted in wish.records:
        _none(check_record(wanted, known))


def _scene(book: Book, wish: Transition, signed: Signed, rules: Rules) -> None:
    before = book.standing(wish.key)
    after = move(before, wish, signed, earlier=_earlier_scene(wish, rules))
    if wish.action is Action.SUBMIT or (wish.action is Action.PUBLISH and not wish.about.isdigit()):
        assert after.filing is not None  # both need a draft
        _none(check_draft(after.filing.draft, rules.known, signed.time))
    if after.filing is not None:
        book.put(Kind.FILING, wish.key, after.filing)
    if after.scene is not None:
        book.put(Kind.SCENE, wish.key, after.scene)


def _earlier_scene(wish: Transition, rules: Rules) -> Scene | None:
    if wish.action is not Action.ROLLBACK:
        return None
    record = rules.earlier(f"{Kind.SCENE}/{wish.key}", wish.version)
    return None if record is None else msgspec.json.decode(record.body, type=Scene)


def _rollback(book: Book, wish: Transition, signed: Signed, rules: Rules) -> None:
    """Of a scenario by its code or its record's key; of a catalogue entry or an application by the record's key."""
    kind, _, name = wish.key.partition("/")
    if kind not in set(_REVERSIBLE):
        _scene(book, msgspec.structs.replace(wish, key=wish.key.removeprefix(f"{Kind.SCENE}/")), signed, rules)
        return
    _registrar_only(wish, signed)
    now, then = book.record(wish.key), rules.earlier(wish.key, wish.version)
    if now is None or wish.about != str(now.version):
        raise LifecycleError(
            "about", f"{wish.key} 的现行版本不是 {wish.about}", f"the version in force is not {wish.about}"
        )
    if then is None or then.version >= now.version:
        raise LifecycleError("version", f"没有版本 {wish.version}", f"{wish.key} never had version {wish.version}")
    body = msgspec.json.decode(then.body, type=_REVERSIBLE[Kind(kind)])
    _none(check_record(Wanted(kind=Kind(kind), id=name, body=then.body), rules.known))
    book.put(Kind(kind), name, body)


def _withdraw(book: Book, wish: Transition, signed: Signed, rules: Rules) -> None:  # noqa: ARG001  # one shape
    consent = _CONSENT.fullmatch(wish.key)
    if consent is None or consent["province"] not in PROVINCES:
        raise LifecycleError("form", f"{wish.key} 不是授权编号", "key: <issuing province>.<consent id>")
    if signed.by != consent["province"]:
        raise LifecycleError(
            "party",
            f"授权只能由签发省 {consent['province']} 撤回",
            f"only {consent['province']} issued it and withdraws it",
        )
    if not signed.time < wish.until <= signed.time + YEAR_MS:
        raise LifecycleError("window", "须给出授权的到期时间（将来，一年内）", "until: the consent's own end, ahead")
    key = f"{Kind.WITHDRAWAL}/{wish.key}"
    old = book.record(key)
    known = msgspec.json.decode(old.body, type=Withdrawal).until if old else 0
    book.put(Kind.WITHDRAWAL, wish.key, Withdrawal(id=wish.key, until=max(known, wish.until)))


_FOLDS: Final[dict[Action, Callable[[Book, Transition, Signed, Rules], None]]] = {
    Action.APPLY: _apply,
    Action.ROLLBACK: _rollback,
    Action.WITHDRAW: _withdraw,
}


def _registrar_only(wish: Transition, signed: Signed) -> None:
    if signed.by != REGISTRAR:
        raise LifecycleError(
            "party",
            f"“{wish.action}”由登记机关办理，{signed.by} 不是",
            f"{wish.action} is for the registrar, {signed.by} is not",
        )


def _decoded(wanted: Wanted) -> Any:
    try:
        return msgspec.json.decode(wanted.body, type=BODIES[wanted.kind])
    except MALFORMED as error:
        raise LifecycleError(
            "form", f"{wanted.kind} {wanted.id} 格式不符", f"{wanted.kind} {wanted.id}: {error}"
        ) from error


def _none(complaints: Iterable[object]) -> None:
    """Raise what the machine's check has to say."""
    found = [str(one) for one in islice(complaints, _MOST_COMPLAINTS)]
    if found:
        raise LifecycleError("check", "机器核验不通过", "; ".join(found))
