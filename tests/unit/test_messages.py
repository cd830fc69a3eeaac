"""Every typed message can be read back."""

from __future__ import annotations

import importlib
import pkgutil

import msgspec
import pytest

import schemas

_MODULES = [importlib.import_module(f"schemas.{found.name}") for found in pkgutil.iter_modules(schemas.__path__)]
_KINDS = sorted(
    {
        kind
        for module in _MODULES
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__module__.startswith("schemas.")
    },
    key=lambda kind: kind.__name__,
)


@pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)
def test_every_message_type_can_be_decoded(kind: type[msgspec.Struct]) -> None:
    """A decoder can be made for the type: each of its annotations exists at run time."""
    msgspec.json.Decoder(kind)
