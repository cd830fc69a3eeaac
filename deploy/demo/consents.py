"""The simulated consent service: what a province would sign after its app, or a written mandate, told it a yes."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

from broker.bus.keys import KeySigner, Sealer
from schemas.consents import Consent, Consenting
from schemas.holders import CITIZEN_ID_TYPE, USCC_TYPE
from schemas.identifiers import is_uscc
from schemas.scenes import ConsentMode
from workers.consents import sealings_of, token_of, types_of

if TYPE_CHECKING:
    from broker.bus.keys import KeyFile
    from broker.registry.snapshot import Snapshot


class Yes(NamedTuple):
    """What a holder agreed to: in which scenario, for which types (none named: all), until when (unix ms).

    With an `agent` it is a mandate (委托), else the holder's own yes at this real-name level; empty: any case of the
    scenario, its first application.
    """

    scene: str
    holder_code: str
    until: int
    agent: str = ""
    level: int = 0
    types: tuple[str, ...] = ()
    case: str = ""
    application: str = ""


def new_consent(yes: Yes, keys: KeyFile, snapshot: Snapshot, now_ms: int) -> tuple[Consent, str]:
    """The consent of the province whose keys these are, and its token; raises LookupError, ValueError."""
    scene = snapshot.scenes.get(yes.scene)
    if scene is None:
        raise LookupError(f"there is no scenario {yes.scene} in force; `certlane registry show` lists them")
    application = snapshot.applications.get(yes.application or next(iter(scene.scene.applications), ""))
    if application is None:
        raise LookupError(f"there is no application {yes.application}")
    sealings = sealings_of(scene, snapshot, Sealer(), now_ms)
    types = types_of(scene, yes.types, snapshot, sealings)
    if not types:
        raise LookupError(f"scenario {yes.scene} has none of these types")
    rule = scene.scene.consent
    own = rule.mode if rule.mode is not ConsentMode.NONE else ConsentMode.ONLINE
    if own is ConsentMode.AGENT and not yes.agent:
        raise LookupError(f"scenario {yes.scene} takes the consent of an agent only: name who acts for the holder")
    consent = Consent(
        id=uuid.uuid4().hex,
        iss=keys.party,
        mode=ConsentMode.AGENT if yes.agent else own,
        scene=yes.scene,
        node=application.node,
        application=application.id,
        org=scene.scene.use_org_code,
        types=types,
        holder={},
        iat=now_ms,
        exp=yes.until,
        case=yes.case,
        once=rule.one_time,
        level=yes.level,
    )
    kind = USCC_TYPE if is_uscc(yes.holder_code) else CITIZEN_ID_TYPE
    whose = Consenting(code=yes.holder_code, type_code=kind, agent=yes.agent)
    return consent, token_of(consent, whose, scene, sealings, KeySigner(keys.signing))
