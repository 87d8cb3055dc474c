"""Who wrote what to the tables of dead letters and jobs, as PostgreSQL itself saw it: a row for each change.

A row is written in the transaction that it tells of, so what was rolled back is not told.
"""

import contextlib
import dataclasses
from collections.abc import Iterator

TABLES = """
CREATE TABLE chaos_audit (
    seq bigint GENERATED ALWAYS AS IDENTITY, at timestamptz DEFAULT clock_timestamp(),
    who text DEFAULT session_user, relation text, operation text, row jsonb
);
CREATE FUNCTION chaos_audit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO chaos_audit (relation, operation, row)
    VALUES (TG_TABLE_NAME, TG_OP, to_jsonb(COALESCE(NEW, OLD)) - 'body' - 'properties' - 'digest');
    RETURN NULL;
END $$;
"""
TRIGGER = """
CREATE TRIGGER chaos_audit AFTER INSERT OR UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION chaos_audit();
"""
AUDITED = ["dead_letters", "order_outbox", "jobs", "job_items"]


@dataclasses.dataclass(frozen=True)
class Change:
    at: float
    who: str
    relation: str
    operation: str
    row: dict


class Audit:
    def __init__(self, stores):
        self._stores = stores

    def changes(self, relation: str, operation: str = "%") -> list[Change]:
        sql = (
            "SELECT extract(epoch FROM at)::float, who, relation, operation, row FROM chaos_audit"
            " WHERE relation = %s AND operation LIKE %s ORDER BY seq"
        )
        return [Change(*row) for row in self._stores.rows_of(sql, relation, operation)]


@contextlib.contextmanager
def audited(run) -> Iterator[Audit]:
    run.stand.sql(TABLES + "".join(TRIGGER.format(table=table) for table in AUDITED))
    try:
        yield Audit(run.stores)
    finally:
        run.stand.repair()
        drop = "".join(f"DROP TRIGGER chaos_audit ON {table};" for table in AUDITED)
        run.stand.sql(f"{drop} DROP FUNCTION chaos_audit; DROP TABLE chaos_audit")
