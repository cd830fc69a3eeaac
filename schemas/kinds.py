"""The kinds of records in the registry."""

from enum import StrEnum


class Kind(StrEnum):
    PARTY = "party"
    APPLICATION = "application"
    CATALOGUE = "catalogue"
    SCENE = "scene"
    FILING = "filing"
    WITHDRAWAL = "withdrawal"
