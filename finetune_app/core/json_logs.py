"""LOG_FORMAT=json: one JSON object per event, for programs that collect logs."""

from typing import Any

from pythonjsonlogger.json import JsonFormatter

from finetune_app.core.logs import without_secrets

# Attribute of a record: its field. The time stands before them.
FIELDS = {
    "levelname": "level",
    "name": "logger",
    "message": "message",
    "request_id": "request_id",
    "job_id": "job_id",
    "process_name": "process",
    "process": "pid",
    "exc_info": "traceback",
    "stack_info": "stack",
}


class JsonLineFormatter(JsonFormatter):
    """The fields above and `time`. Other attributes of a record, such as Django's request, are left
    out: they may hold secrets."""

    def __init__(self) -> None:
        fields = [name for name in FIELDS if name not in ("exc_info", "stack_info")]
        super().__init__(fields, rename_fields=FIELDS, timestamp="time")

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        known = ("time", *FIELDS.values())
        return {
            name: without_secrets(value) if isinstance(value, str) else value
            for name in known
            if (value := log_data.get(name)) not in (None, "")
        }
