"""What becomes of a stack's database when the stack is updated."""

from typing import Any

from moto.rds.models import DBInstance

_CHANGED = {
    "DBInstanceClass": "db_instance_class",
    "AllocatedStorage": "allocated_storage",
    "MultiAZ": "multi_az",
    "BackupRetentionPeriod": "backup_retention_period",
}
"""What the template lets an update change, and moto's name for it."""


def databases_are_updated_in_place() -> None:
    """Moto's CloudFormation cannot update a database: it would make a second one."""

    def update(_: Any, /, **given: Any) -> Any:
        database = given["original_resource"]
        properties = given["cloudformation_json"]["Properties"]
        protected = str(properties.get("DeletionProtection", "false")).lower()
        database.deletion_protection = protected == "true"
        for name, attribute in _CHANGED.items():
            setattr(database, attribute, properties[name])
        return database

    model: Any = DBInstance
    model.update_from_cloudformation_json = classmethod(update)
