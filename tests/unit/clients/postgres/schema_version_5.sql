-- The order pipeline's tables, installed by every service that starts and finds them missing. It runs
-- in the transaction that SCHEMA_BEGIN_SQL (schema.h) has begun, and commits it. Running it again
-- changes nothing.
--
-- To change the schema: raise SCHEMA_VERSION in schema.h, add the step at the end, and record the
-- version. A step changes nothing when it runs again (IF NOT EXISTS): version 1 makes a dropped table
-- anew, and the steps after it add its later columns. Only a step that destroys something is guarded
-- by the version, as version 1's DROP is. Replicas of the release before keep running meanwhile, so a
-- step must suit both.

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

-- Version 3. Messages that could not become orders, out of the dead-letter queue. No row is deleted
-- while it is dead.
CREATE TABLE IF NOT EXISTS dead_letters (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    state          text NOT NULL DEFAULT 'dead', -- then 'replayed' or 'discarded'
    queue          text NOT NULL,                -- the order queue that it comes from
    reason         text NOT NULL,
    detail         text NOT NULL,
    stage          text NOT NULL,                -- 'intake', 'persist' or 'index'
    attempts       bigint NOT NULL,
    order_id       uuid,                         -- that its body or its message_id tells
    body           bytea NOT NULL,               -- its first 1 MiB
    body_bytes     bigint NOT NULL,              -- its true size
    properties     bytea NOT NULL,               -- with its headers, as encoded in AMQP 0-9-1, 4.2.6.1
    digest         bytea NOT NULL,               -- tells letters of the same message
    copies         bigint NOT NULL DEFAULT 0,    -- of this letter that came after it
    died_at        timestamptz NOT NULL,
    archived_at    timestamptz NOT NULL DEFAULT now(),
    traceparent    text,                         -- W3C Trace Context
    tracestate     text,
    replay_of      bigint,                       -- the letter whose replay died again
    ended_at       timestamptz,                  -- replayed or discarded then,
    ended_by       text,                         -- by whom,
    ended_reason   text,                         -- and why it was discarded
    replayed_as    uuid,                         -- the id of the order in the replay
    job            bigint                        -- that replayed or discarded it
);
CREATE INDEX IF NOT EXISTS dead_letters_dead_idx ON dead_letters (reason, died_at) WHERE state = 'dead';
CREATE INDEX IF NOT EXISTS dead_letters_digest_idx ON dead_letters (digest) WHERE state = 'dead';
CREATE INDEX IF NOT EXISTS dead_letters_order_idx ON dead_letters (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS dead_letters_replay_idx ON dead_letters (replay_of) WHERE replay_of IS NOT NULL;
CREATE INDEX IF NOT EXISTS dead_letters_ended_idx ON dead_letters (ended_at) WHERE ended_at IS NOT NULL;

-- An order of the outbox carries the trace that it belongs to, and which letter it replays.
ALTER TABLE order_outbox ADD COLUMN IF NOT EXISTS traceparent text,
                         ADD COLUMN IF NOT EXISTS tracestate text,
                         ADD COLUMN IF NOT EXISTS replay_of bigint;

-- Jobs that take long. A canceled one ends in the state 'canceled'.
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS parameters jsonb,
                 ADD COLUMN IF NOT EXISTS requested_by text,
                 ADD COLUMN IF NOT EXISTS total bigint,
                 ADD COLUMN IF NOT EXISTS done bigint NOT NULL DEFAULT 0,
                 ADD COLUMN IF NOT EXISTS checkpoint text,
                 ADD COLUMN IF NOT EXISTS result jsonb,
                 ADD COLUMN IF NOT EXISTS cancel boolean NOT NULL DEFAULT false;

-- What a job still has to do, fixed when it is asked for. `state`: 'waiting', or 'sent' while the
-- fate of a replayed letter is unknown. The row of what is done is deleted.
CREATE TABLE IF NOT EXISTS job_items (
    job   bigint NOT NULL,
    item  bigint NOT NULL,
    state text NOT NULL DEFAULT 'waiting',
    PRIMARY KEY (job, item)
);
CREATE INDEX IF NOT EXISTS job_items_sent_idx ON job_items (job) WHERE state = 'sent';

-- Whether dead letters are archived ('on' or 'off'; NULL: no scheduler of this version was there), and
-- why they stay in the queue although it is on.
ALTER TABLE scheduler_seen ADD COLUMN IF NOT EXISTS archive text,
                           ADD COLUMN IF NOT EXISTS archive_fault text;

INSERT INTO order_pipeline_schema (version) VALUES (3) ON CONFLICT DO NOTHING;

-- Version 4. The jobs about the search index. One of them runs at a time, and people ask for one at a
-- time; those that a scheduler starts by itself wait until it has ended.
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS automatic boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX IF NOT EXISTS jobs_index_running_idx ON jobs ((true))
    WHERE state = 'running' AND kind IN ('reindex', 'verify', 'repair');
CREATE UNIQUE INDEX IF NOT EXISTS jobs_index_asked_idx ON jobs ((true))
    WHERE finished IS NULL AND NOT automatic AND kind IN ('reindex', 'verify', 'repair');

-- What is known of the search index: one row.
CREATE TABLE IF NOT EXISTS search_index (
    only_row           boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    deployment         uuid NOT NULL DEFAULT gen_random_uuid(), -- that the index says it belongs to
    identity           text,             -- of the index, when a scheduler last looked,
    documents          bigint,           -- how many it had,
    seen_at            timestamptz,      -- and when that was
    building           text,             -- the identity of the index that a reindex makes now
    missing            double precision, -- the share of the orders that it lacks; NULL: none is known
    fault              text,             -- what a person has to decide; NULL: nothing
    verified_at        timestamptz,      -- the last verification, and the last one of all orders,
    verified_full_at   timestamptz,
    verified_missing   bigint,           -- and what the last one found
    verified_extra     bigint,
    verified_different bigint,
    verify_tick        timestamptz,      -- the last ticks of the schedules that were done
    verify_full_tick   timestamptz
);
INSERT INTO search_index DEFAULT VALUES ON CONFLICT DO NOTHING;

INSERT INTO order_pipeline_schema (version) VALUES (4) ON CONFLICT DO NOTHING;

-- Version 5. Revenue by UTC day, kept by triggers on orders: each statement appends what it changed,
-- a day's total is the sum of its rows, and nobody updates a row. Triggers, back-fill and the view
-- over the ledger come in transactions of their own (sales_ledger.h), because the trigger's lock on
-- orders must not be held for long. The ledger has no index: it is written often and stays small.
-- A table that is here stays as it is: ALTER TABLE would wait for every writer.
CREATE TABLE IF NOT EXISTS sales_ledger_state (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row), -- one row
    filled_at    timestamptz, -- since then the ledger has all orders; NULL or -infinity: it lacks some
    drift_at     timestamptz, -- when it was last found wrong, and mended,
    drift_days   bigint,      -- on so many days,
    drift_orders bigint       -- by so many orders
);
INSERT INTO sales_ledger_state DEFAULT VALUES ON CONFLICT DO NOTHING;
DO $$
BEGIN
    IF to_regclass('sales_ledger') IS NULL THEN
        CREATE TABLE sales_ledger (
            day    date    NOT NULL,
            total  numeric NOT NULL,
            orders bigint  NOT NULL
        );
        -- Else no row could be deleted while somebody publishes all tables.
        ALTER TABLE sales_ledger REPLICA IDENTITY FULL;
        UPDATE sales_ledger_state SET filled_at = '-infinity' WHERE filled_at IS NOT NULL;
    END IF;
END
$$;

INSERT INTO order_pipeline_schema (version) VALUES (5) ON CONFLICT DO NOTHING;
COMMIT;
