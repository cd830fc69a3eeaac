from tests.integration.parts import kafka, parts

__all__ = ["kafka", "parts"]
