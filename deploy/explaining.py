"""Why a request was judged as it was: each province's record of it, judged again by the version that it cites."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, NamedTuple

from broker.bus.keys import KeyOpener, read_keys
from deploy.details import Details
from deploy.history import versions
from deploy.local import parties, ports
from schemas.regions import PROVINCES
from workers.consents import Consents
from workers.judge import Grant
from workers.replaying import ReplayError, replay
from workers.steps import Step, steps
from workers.wording import Look

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence

    from broker.bus.keys import KeyFile
    from broker.registry.snapshot import Snapshot
    from deploy.details import Progress, Recorded
    from deploy.local.home import Home
    from schemas.jose import Jwk
    from workers.replaying import Replay


class Place(NamedTuple):
    """Where the topics are, who the registrar is, and the keys of those provinces whose details may be opened."""

    bootstrap: str
    registrar: Jwk
    keys: Mapping[str, KeyFile]


class Explained(NamedTuple):
    """One recorded judgement and the same judged again; without `replay` the reason stands in `unknown`."""

    recorded: Recorded
    replay: Replay | None
    steps: Sequence[Step] = ()
    unknown: str = ""

    @property
    def equal(self) -> bool:
        return self.replay is not None and self.replay.equal


def place_of(home: Home, provinces: Collection[str] = PROVINCES) -> Place:
    """A local stack's; a province whose private key is not at hand is left out. Raises LocalStackError."""
    files = {one: home.keys / f"{one}.json" for one in provinces}
    keys = {one: read_keys(path) for one, path in files.items() if path.exists()}
    registrar = read_keys(home.keys / f"{parties.REGISTRAR}.public.json").signing
    return Place(ports.remembered(home).bootstrap, registrar, keys)


async def explain_many(
    place: Place,
    request_ids: Collection[str],
    *,
    full: bool = False,
    say: Callable[[Progress], None] = lambda _: None,
) -> AsyncGenerator[Explained, None]:
    """Every recorded judgement of these requests, by version. Raises KafkaError, OSError.

    One pass over each province's details and one over the registry; in memory what was asked for, and one version.
    """
    found: dict[int, list[Recorded]] = {}
    for keys in place.keys.values():
        async with aclosing(Details(place.bootstrap, keys, say=say, name="explain").read(about=request_ids)) as read:
            async for one in read:
                found.setdefault(one.detail.registry, []).append(one)
    judges = {one: Explainer(keys, full=full) for one, keys in place.keys.items()}
    for one in found.pop(0, ()):  # ended before any version was asked
        yield judges[one.province].explain(one, None)
    async with aclosing(versions(place.bootstrap, place.registrar, found.keys())) as history:
        async for version in history:
            for one in found.pop(version.snapshot.version):
                yield judges[one.province].explain(one, version.snapshot)
    for number in sorted(found):
        for one in found[number]:
            yield Explained(one, None, unknown=f"登记簿主题中没有可信的第 {number} 版 / version {number} is not proven")


class Explainer:
    """One province's: with its keys a request is what it was to its agents."""

    def __init__(self, keys: KeyFile, *, full: bool = False) -> None:
        self._province, self._full = keys.party, full
        self.proofs = Consents(keys, KeyOpener(keys.sealing))

    def explain(self, recorded: Recorded, snapshot: Snapshot | None) -> Explained:
        detail = recorded.detail
        try:
            again = replay(detail, self._province, snapshot, self.proofs)
        except ReplayError as error:
            return Explained(recorded, None, unknown=str(error))
        look = Look(again.case, snapshot, self._province, detail.judged, self._full) if snapshot else None
        granted = isinstance(again.judged, Grant)
        return Explained(recorded, again, steps(again.decided, None if again.early else look, granted=granted))
