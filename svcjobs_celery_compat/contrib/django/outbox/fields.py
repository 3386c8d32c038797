"""The columns that Django has no field for."""

from __future__ import annotations

from typing import Any

from django.db import models


class ExactTextField(models.CharField):
    """Text of which no two are equal, also on MySQL, whose collations ignore case or spaces at the end.

    The column is that of :class:`svcjobs.db.tables.ExactText`.
    """

    def db_type(self, connection: Any) -> Any:
        return f"varbinary({4 * self.max_length})" if connection.vendor == "mysql" else super().db_type(connection)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        value = super().get_db_prep_value(value, connection, prepared)
        return value.encode() if isinstance(value, str) and connection.vendor == "mysql" else value

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return value.decode() if isinstance(value, bytes) else value
