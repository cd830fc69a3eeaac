"""Handing a folder of the registry to the registrar, and its scenarios through their whole life cycle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec.structs import replace

from broker.bus.clock import now_ms, today
from broker.registry.authoring import read_folder
from broker.registry.drafts import MAX_QUOTA_TIMES
from broker.registry.folding import FOUNDATIONS
from broker.registry.registrar import known_in
from broker.registry.transitions import REGISTRAR, Standing, using_province
from broker.registry.walk import in_parts, new_intake, walk
from deploy.local.desk import Desk
from schemas.filing import Action, Draft, Transition, Wanted
from schemas.kinds import Kind
from schemas.registry import Application
from schemas.scenes import Scene, SceneStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from deploy.local.home import Home
    from schemas.filing import Intake

DEMO_REGISTRY = Path(__file__).parents[1] / "demo" / "registry"
_PLAYED = "演示：各方步骤由同一处代办"


class Published(NamedTuple):
    """What came of a folder: the registry's version, which of its records differ from before, of how many.

    `waiting` are scenarios that differ from what is in force and how they stand; nothing was done about them.
    """

    version: int
    changed: tuple[str, ...]
    records: int
    waiting: dict[str, Standing]


async def publish_demo_registry(home: Home, bootstrap: str) -> None:
    """Publish the demonstration's registry; its days are relative to today, its parties' keys all lie in this home."""
    await apply(DEMO_REGISTRY, home=home, bootstrap=bootstrap, every_party=True)


async def apply(folder: Path, *, home: Home, bootstrap: str, every_party: bool = False) -> Published:
    """Sign the folder's parties, applications and catalogue as the registrar's intake, and wait for their version.

    Scenarios go through the life cycle: with `every_party` each step is signed here by the party whose step it is.
    Raises AuthoringError for a wrong file, LocalStackError for a refusal and when the registrar does not answer.
    """
    async with Desk(home, bootstrap) as desk:
        wanted = read_folder(folder, home.keys, today(), known_in(desk.trusted.snapshot))
        before = {f"{one.kind}/{one.id}": desk.book.record(f"{one.kind}/{one.id}") for one in wanted}
        scenes = {code: scene for code, scene in _scenes(wanted) if _differs(desk.book.standing(code).scene, scene)}
        intakes = list(_foundations(desk, wanted))
        if every_party:
            intakes += _steps(desk, scenes, _applicants(wanted))
        await desk.hand_in(intakes)
        changed = tuple(key for key in sorted(before) if desk.book.record(key) != before[key])
        waiting = {} if every_party else {code: desk.book.standing(code) for code in scenes}
        return Published(desk.trusted.version, changed, len(desk.trusted.records), waiting)


def played_draft(scene: Scene) -> Draft:
    """A filing for a scenario whose folder has none: for demonstrations, each field for the scenario's purpose."""
    return Draft(
        scene=_as_filed(scene),
        org_proof=_PLAYED,
        security_level=3,
        expected_per_day=-(-scene.limits.per_day // MAX_QUOTA_TIMES),
        justifications={
            kind.type_code: dict.fromkeys((*kind.fields, *kind.masked_fields), scene.purpose_text)
            for kind in scene.types
        },
    )


def _scenes(wanted: Sequence[Wanted]) -> Iterator[tuple[str, Scene]]:
    for one in wanted:
        if one.kind is Kind.SCENE:
            yield one.id, msgspec.json.decode(one.body, type=Scene)


def _as_filed(scene: Scene) -> Scene:
    """Without what the life cycle writes."""
    return replace(scene, status=SceneStatus.PUBLISHED, suspended_by="")


def _differs(now: Scene | None, wanted: Scene) -> bool:
    """What is suspended in the folder is so in force; what is not there says nothing of a suspension."""
    suspend = wanted.status is SceneStatus.SUSPENDED
    return now is None or _as_filed(now) != _as_filed(wanted) or (suspend and now.status is SceneStatus.PUBLISHED)


def _foundations(desk: Desk, wanted: Sequence[Wanted]) -> Iterator[Intake]:
    """Those that differ, in intakes that Kafka takes."""
    book = desk.book
    new = []
    for one in wanted:
        record = book.record(f"{one.kind}/{one.id}")
        if one.kind in FOUNDATIONS and (record is None or bytes(record.body) != bytes(one.body)):
            new.append(one)
    new.sort(key=lambda one: FOUNDATIONS.index(one.kind))  # what others name comes first
    for part in in_parts(new):
        yield new_intake(REGISTRAR, [Transition(action=Action.APPLY, records=tuple(part))], now_ms())


def _applicants(wanted: Sequence[Wanted]) -> Callable[[Draft], str]:
    """Who files a scenario: the node of its first application if that is of the using province, else that."""
    nodes = {
        one.id: msgspec.json.decode(one.body, type=Application).node for one in wanted if one.kind is Kind.APPLICATION
    }

    def applicant(draft: Draft) -> str:
        using = using_province(draft.scene.scene_code)
        node = nodes.get(draft.scene.applications[0], "") if draft.scene.applications else ""
        return node if node.startswith(f"{using}-") else using

    return applicant


def _steps(desk: Desk, scenes: dict[str, Scene], applicant: Callable[[Draft], str]) -> Iterator[Intake]:
    """All steps of all these scenarios; nobody waits for an answer in between, because each names what it is about."""
    stand = {code: desk.book.standing(code) for code in scenes}
    new = [code for code, scene in scenes.items() if not _same(stand[code].scene, scene)]
    yield from walk([(stand[code], played_draft(scenes[code])) for code in new], applicant, now_ms())
    suspended = [
        Transition(
            action=Action.SUSPEND,
            key=code,
            about=str(stand[code].version + (code in new)),
            reason=scene.scene_name,
        )
        for code, scene in scenes.items()
        if scene.status is SceneStatus.SUSPENDED and not _is_suspended(stand[code])
    ]
    if suspended:
        yield new_intake(REGISTRAR, suspended, now_ms())


def _same(now: Scene | None, wanted: Scene) -> bool:
    return now is not None and _as_filed(now) == _as_filed(wanted)


def _is_suspended(standing: Standing) -> bool:
    return standing.scene is not None and standing.scene.status is SceneStatus.SUSPENDED
