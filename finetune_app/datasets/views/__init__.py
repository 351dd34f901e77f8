"""The pages of this room: the table, imports, one example, versions."""
