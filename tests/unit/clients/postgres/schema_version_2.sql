-- The order pipeline's tables, installed by every service that starts and finds them missing
-- (schema.h). One transaction; running it again changes nothing.
--
-- To change the schema: raise SCHEMA_VERSION in schema.h, add the step at the end, and record the
-- version. A step changes nothing when it runs again (IF NOT EXISTS): version 1 makes a dropped table
-- anew, and the steps after it add its later columns. Only a step that destroys something is guarded
-- by the version, as version 1's DROP is. Replicas of the release before keep running meanwhile, so a
-- step must suit both.

BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL statement_timeout = '5min'; -- filling the view reads all orders
SET LOCAL lock_timeout = 0;

-- All replicas come here at once on an empty database: one installs, the others wait for it.
-- CREATE … IF NOT EXISTS alone fails with a unique violation in the catalog when two race.
SELECT pg_advisory_xact_lock(7021786321201);
SET LOCAL lock_timeout = '30s';

CREATE TABLE IF NOT EXISTS order_pipeline_schema (
    version      integer PRIMARY KEY,
    installed_at timestamptz NOT NULL DEFAULT now()
);

-- The source of truth. A table that is here already stays as it is, with its data: the program that
-- this one replaces has `id text`, and every statement of this module works with both.
CREATE TABLE IF NOT EXISTS orders (
    id           uuid PRIMARY KEY,
    product_name text NOT NULL,
    amount       numeric NOT NULL,
    created_at   timestamptz NOT NULL
);

-- Orders stored here first (bulk orders) that still have to go to the queue. Their content is
-- repeated, so that relaying them does not depend on the type of orders.id.
CREATE TABLE IF NOT EXISTS order_outbox (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id     uuid NOT NULL,
    product_name text NOT NULL,
    amount       numeric NOT NULL,
    created_at   timestamptz NOT NULL,
    stored_at    timestamptz NOT NULL DEFAULT now()
);

-- Every refresh of the view; a scheduled tick happens once: the first scheduler does it. NULL: by hand.
CREATE TABLE IF NOT EXISTS sales_refresh (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tick        timestamptz UNIQUE,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

-- A view that was here before version 1 buckets by the day of the refreshing session's time zone.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM order_pipeline_schema WHERE version >= 1) THEN
        DROP MATERIALIZED VIEW IF EXISTS daily_sales_mv;
    END IF;
END
$$;

-- Days are UTC in every session. An amount that is no number (NaN, infinite, absurd) counts 0,
-- so that one bad row does not spoil its day.
CREATE MATERIALIZED VIEW IF NOT EXISTS daily_sales_mv AS
SELECT (created_at AT TIME ZONE 'UTC')::date AS sale_date,
       COALESCE(sum(amount::numeric) FILTER (WHERE amount BETWEEN -1e30 AND 1e30), 0)
           AS total_revenue
FROM orders
GROUP BY 1;

-- REFRESH … CONCURRENTLY needs it.
CREATE UNIQUE INDEX IF NOT EXISTS daily_sales_mv_date_idx ON daily_sales_mv (sale_date);

INSERT INTO order_pipeline_schema (version) VALUES (1) ON CONFLICT DO NOTHING;

-- Version 2. The outbox row holds the JSON to publish, and until when a gateway has the row under a
-- lease. A gateway of version 1 stores no JSON, and reads the other columns.
ALTER TABLE order_outbox ADD COLUMN IF NOT EXISTS json text,
                         ADD COLUMN IF NOT EXISTS lease timestamptz;

-- Work that a gateway hands to the schedulers (jobs.h). Until `lease` ends, the job belongs to the
-- scheduler whose `token` it has.
CREATE TABLE IF NOT EXISTS jobs (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind      text NOT NULL,
    state     text NOT NULL DEFAULT 'waiting', -- then 'running', then 'done' or 'failed'
    requested timestamptz NOT NULL DEFAULT now(),
    started   timestamptz,
    lease     timestamptz,
    token     bigint,
    finished  timestamptz,
    error     text -- why it failed
);
CREATE INDEX IF NOT EXISTS jobs_unfinished_idx ON jobs (id) WHERE finished IS NULL;

-- When a scheduler was last there: one row.
CREATE TABLE IF NOT EXISTS scheduler_seen (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    at       timestamptz NOT NULL
);

INSERT INTO order_pipeline_schema (version) VALUES (2) ON CONFLICT DO NOTHING;
COMMIT;
