from tests.integration.parts import connection, kafka, parts

__all__ = ["connection", "kafka", "parts"]
