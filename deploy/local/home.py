"""Where one local stack lives: a folder that holds all it writes, so that stacks lie side by side."""

from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


class LocalStackError(Exception):
    """The local stack cannot do what was asked; the text says why, and what to do where that is known."""


@dataclass(frozen=True, slots=True)
class Home:
    """One stack's folder; resolved, because processes are known as ours by the folder they stand in."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.path.expanduser().resolve())

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def kafka(self) -> Path:
        return self.path / "kafka"

    @property
    def redis(self) -> Path:
        return self.path / "redis"

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def objects(self) -> Path:
        return self.path / "objects"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    def create(self) -> None:
        """Make the folders; keys and the supervisor's password are for their owner only, so the whole home is."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.run, self.log, self.kafka, self.redis, self.store, self.objects, self.keys):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)


def default_home() -> Home:
    return Home(CHECKOUT / ".certlane")


def home_of(path: Path | None) -> Home:
    """The stack in this folder, without one the checkout's own."""
    return default_home() if path is None else Home(path)
