"""`certlane doctor` where no stack is up, and each probe of the home on a home of its own."""

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from typer.testing import CliRunner

from broker.bus.clock import now_ms, today
from broker.bus.keys import KeySigner, make_keys
from broker.gateway.tokens import issue
from deploy.cli.app import app
from deploy.demo.certificates import write_demo_store
from deploy.doctor import checks, folders, machine
from deploy.doctor.checks import CHECKS, Check, Finding, State, checks_of, examine
from deploy.doctor.parts import _value, _verified
from deploy.doctor.site import IllError, Site, look_at
from deploy.local import ports, processes
from deploy.local.home import Home
from schemas.presence import JWS_TYPE, Presence
from schemas.wire import sign_compact
from tests.support_registry import new_party_keys

PARTIES: Final = (processes.NODE, "yct-enterprise")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.create()
    return made


def site(home: Home) -> Site:
    return Site(home, None, up=False)


def demo(home: Home, *, seconds: int = 86_400, signer: str = processes.NODE) -> None:
    """demo.json with one token, and the keys it is signed with."""
    for party in PARTIES:
        make_keys(home.keys, party)
    key = KeySigner(make_keys(home.keys, signer).signing)
    token = issue(key, node=processes.NODE, application="yct-enterprise", now=now_ms() // 1000, seconds=seconds)
    path = home.path / "demo.json"
    path.write_bytes(orjson.dumps({"applications": [{"id": "yct-enterprise", "token": token}]}))
    path.chmod(0o600)


def findings(home: Home) -> dict[str, Finding]:
    return {one.name: one for one in asyncio.run(examine(home))}


def test_no_stack_is_up(home: Home) -> None:
    """Without a stack that is what is said, and what only a running one can be asked is skipped."""
    found = findings(home)
    assert (found["本机环境"].state, found["本机环境"].remedy) == (State.ILL, "certlane up 启动")
    assert {one.name for one in found.values() if one.state is State.SKIPPED} == {
        check.name for check in CHECKS if check.running
    }


def test_of_a_stack_that_is_down_every_part_is_named(home: Home) -> None:
    """Each process of a stack that was once up has a row of its own."""
    (home.run / "ports.json").write_bytes(orjson.dumps(dict.fromkeys(processes.LISTENERS, 1)))
    assert not look_at(home).up
    assert {*processes.REGISTRY, *processes.EXCHANGE} <= findings(home).keys()


def test_the_command(home: Home) -> None:
    """The command prints a line for each check with its remedy, or JSON, and ends with 1 when something is not well."""
    plain = CliRunner().invoke(app, ["doctor", "--home", str(home.path)])
    assert plain.exit_code == 1
    assert len(plain.stdout.splitlines()) == len(CHECKS)
    assert "✗ 本机环境：没有正在运行的环境  → certlane up 启动" in plain.stdout
    told = CliRunner().invoke(app, ["doctor", "--home", str(home.path), "--json"])
    rows = orjson.loads(told.stdout)
    assert [row["name"] for row in rows] == [check.name for check in CHECKS]
    assert {row["state"] for row in rows} == {"well", "ill", "skipped"}


def test_every_check_has_a_remedy() -> None:
    """Names are unique, and every check says what to do."""
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.remedy for check in CHECKS)


async def finding(probe: Any, home: Home, seconds: float = 30.0) -> Finding:
    return await checks._finding(Check("一项", probe, "办法"), site(home), seconds)


async def test_a_probe_that_fails_is_a_finding(home: Home) -> None:
    """Whatever goes wrong in a probe is told with the remedy, and never more than the error's name."""

    def broken(_: Site) -> str:
        raise RuntimeError("990001199001010018")

    found = await finding(broken, home)
    assert (found.state, found.remedy) == (State.ILL, "办法")
    assert "RuntimeError" in found.told
    assert "9900" not in found.told


async def test_a_probe_has_its_time(home: Home) -> None:
    """A probe that does not come back is a finding too, and all of them run side by side."""

    async def hangs(_: Site) -> str:
        await asyncio.sleep(3_600)
        return ""

    begun = time.monotonic()
    found = await asyncio.gather(*(finding(hangs, home, 0.2) for _ in range(20)))
    assert {one.state for one in found} == {State.ILL}
    assert time.monotonic() - begun < 60


async def test_what_is_well_has_no_remedy(home: Home) -> None:
    """A probe that is content says what it found and nothing to do."""
    assert await finding(machine.python, home) == Finding("一项", State.WELL, machine.python(site(home)), "")


def test_programs_and_disk(home: Home) -> None:
    """What the tests themselves need is found."""
    for probe in (machine.python, machine.java, machine.redis_server, machine.maven, machine.kafka_jars, machine.disk):
        assert probe(site(home))


def test_files_that_others_can_read(home: Home) -> None:
    """A private key, or what holds tokens, that others can read is named; public keys may be read."""
    with pytest.raises(IllError, match="还没有密钥"):
        folders.private_files(site(home))
    demo(home)
    assert "仅所有者可读" in folders.private_files(site(home))
    (home.keys / "yct-enterprise.json").chmod(0o640)
    (home.path / "demo.json").chmod(0o604)
    with pytest.raises(IllError) as found:
        folders.private_files(site(home))
    assert str(found.value) == "其他用户可读：demo.json、yct-enterprise.json"


@pytest.mark.parametrize(
    ("seconds", "signer", "told"),
    [(-1, processes.NODE, "已过期"), (60, processes.NODE, "还有"), (86_400, "yct-enterprise", "不是由本节点签发")],
)
def test_tokens_that_are_no_good(home: Home, seconds: int, signer: str, told: str) -> None:
    """Tokens of demo.json that have ended, end soon or are another's are told."""
    demo(home, seconds=seconds, signer=signer)
    with pytest.raises(IllError, match=told):
        folders.demo_tokens(site(home))


def test_tokens_that_are_good(home: Home) -> None:
    """Good tokens are counted with the time they have left."""
    with pytest.raises(IllError, match=r"没有 demo\.json"):
        folders.demo_tokens(site(home))
    demo(home)
    assert folders.demo_tokens(site(home)).startswith("1 个令牌")


def test_stores(home: Home) -> None:
    """A store that is missing or no store is named; good ones are counted."""
    with pytest.raises(IllError, match=r"没有 31\.db"):
        folders.stores(site(home))
    for province in processes.PROVINCES:
        write_demo_store(home.store / f"{province}.db", province, today())
    assert folders.stores(site(home)).startswith("31 有 2500 件")
    (home.store / "33.db").write_bytes(b"no store" * 1_000)
    with pytest.raises(IllError, match=r"33\.db 无法读取"):
        folders.stores(site(home))


def test_the_folder_of_files(home: Home) -> None:
    """The folder of files is there and counted, or told to be missing."""
    assert "0 个在途文件" in folders.objects(site(home))
    home.objects.rmdir()
    with pytest.raises(IllError):
        folders.objects(site(home))


def test_a_heartbeat_is_believed_by_its_signature() -> None:
    """Only a heartbeat that its own province has signed counts."""
    keys = {province: new_party_keys(province) for province in ("31", "32")}
    public = {province: one.signing.public for province, one in keys.items()}
    beat = Presence(
        province="31", incarnation="a", ready=True, reason="", snapshot_version=1, suites=("ED",), clock=now_ms()
    )
    raw = orjson.dumps({"snapshotVersion": 1, **{n: getattr(beat, n) for n in beat.__struct_fields__}})
    good = sign_compact(KeySigner(keys["31"].signing), raw, JWS_TYPE)
    assert _verified(good, public) == beat
    assert _verified(sign_compact(KeySigner(keys["32"].signing), raw, JWS_TYPE), public) is None
    assert _verified(sign_compact(KeySigner(keys["31"].signing), raw), public) is None
    assert _verified(good[:-4] + b"AAAA", public) is None
    assert _verified(b"nothing", public) is None


def test_metrics_are_read() -> None:
    """A metric is read with and without labels, and one that is not told is 0."""
    text = 'x_total 3\nx 1.5e2\ny{a="b"} 7.0\n'
    assert (_value(text, "x"), _value(text, "y"), _value(text, "z")) == (150.0, 7.0, 0.0)


def test_rows_of_the_parts(home: Home) -> None:
    """The table has a row for each process as soon as the stack has ports."""
    listening = ports.Ports(dict.fromkeys(processes.LISTENERS, 1))
    names = [check.name for check in checks_of(Site(home, listening, up=True))]
    assert len(set(names)) == len(names)
    assert names[len(CHECKS) :] == [*processes.REGISTRY, *processes.EXCHANGE]
