import shutil
from pathlib import Path

import pytest

from tests.contract.stores import write_whole_store
from tests.integration.parts import kafka, parts

__all__ = ["kafka", "parts"]


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store that nobody changes."""
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    write_whole_store(path)
    return path


@pytest.fixture
def path(written: Path, tmp_path: Path) -> Path:
    """A SQLite store of one's own, under a name that a URI must quote."""
    return Path(shutil.copy(written, tmp_path / "of 32%20?.sqlite"))
