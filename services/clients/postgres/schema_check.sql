-- Is the schema fit for a connection with the uses $1 (enum database_use)? One row:
--   fault    what has to be different, by somebody else's hand, or NULL
--   missing  an object that schema.sql makes and that is not there, or NULL
--   refusal  why this role cannot make it, or NULL
-- Reads catalogs only.
WITH RECURSIVE needed (uses, name, kinds, columns, target, privileges) AS (
    -- kinds: of pg_class.relkind. target: the column that ON CONFLICT names.
    VALUES
    (255, 'order_pipeline_schema', 'r', '{version}'::text[], NULL, '{SELECT}'::text[]),
    (1, 'orders', 'rpv', '{id,product_name,amount,created_at}', NULL, '{SELECT}'),
    (2, 'orders', 'rpv', '{id,product_name,amount,created_at}', 'id', '{SELECT,INSERT}'),
    (4, 'order_outbox', 'rp',
     '{seq,order_id,product_name,amount,created_at,stored_at,json,lease,traceparent,tracestate,replay_of}',
     NULL, '{SELECT,INSERT,UPDATE,DELETE}'),
    (8, 'daily_sales_mv', 'm', '{sale_date,total_revenue}', NULL, '{SELECT}'),
    (8, 'sales_ledger', 'r', '{day,total,orders}', NULL, '{SELECT}'),
    (8, 'sales_ledger_state', 'r', '{filled_at,obstacle}', NULL, '{SELECT}'),
    (16, 'jobs', 'rp',
     '{id,kind,state,requested,started,lease,token,finished,error,'
     'parameters,requested_by,total,done,checkpoint,result,cancel,automatic}', NULL, '{SELECT,INSERT,UPDATE}'),
    (16, 'scheduler_seen', 'rp', '{only_row,at,archive,archive_fault}', NULL, '{SELECT}'),
    (16, 'search_index', 'rp', '{}', NULL, '{SELECT}'),
    (32, 'jobs', 'rp',
     '{id,kind,state,requested,started,lease,token,finished,error,'
     'parameters,requested_by,total,done,checkpoint,result,cancel,automatic}', NULL, '{SELECT,INSERT,UPDATE,DELETE}'),
    (32, 'search_index', 'rp', '{}', NULL, '{SELECT,UPDATE}'),
    (32, 'scheduler_seen', 'rp', '{only_row,at,archive,archive_fault}', 'only_row',
     '{SELECT,INSERT,UPDATE}'),
    (32, 'sales_refresh', 'rp', '{id,tick,started_at,finished_at}', 'tick',
     '{SELECT,INSERT,UPDATE,DELETE}'),
    (32, 'sales_ledger', 'r', '{day,total,orders}', NULL, '{SELECT,INSERT,DELETE}'),
    (32, 'sales_ledger_state', 'r',
     '{only_row,filled_at,drift_at,drift_days,drift_orders,obstacle,triggers_lost_at}', NULL,
     '{SELECT,UPDATE}'),
    (64, 'dead_letters', 'rp', '{}', NULL, '{SELECT,INSERT,UPDATE,DELETE}'),
    (64, 'job_items', 'rp', '{job,item,state}', NULL, '{SELECT,UPDATE,DELETE}'),
    (64, 'order_outbox', 'rp', '{}', NULL, '{INSERT}'),
    (64, 'orders', 'rpv', '{id,product_name,amount,created_at}', NULL, '{SELECT}'),
    (128, 'dead_letters', 'rp', '{}', NULL, '{SELECT,UPDATE}'),
    (128, 'job_items', 'rp', '{job,item,state}', NULL, '{INSERT}'),
    -- The scheduler keeps up what the other services use, too.
    (32, 'daily_sales_mv', 'm', '{sale_date,total_revenue}', NULL, '{}'),
    (32, 'orders', 'rpv', '{amount,created_at}', NULL, '{}'),
    (32, 'order_outbox', 'rp', '{traceparent,tracestate,replay_of}', NULL, '{}'),
    (32, 'jobs_unfinished_idx', 'iI', '{}', NULL, '{}'),
    (32, 'jobs_index_running_idx', 'iI', '{}', NULL, '{}'),
    (32, 'jobs_index_asked_idx', 'iI', '{}', NULL, '{}'),
    (32, 'dead_letters', 'rp', '{}', NULL, '{}'),
    (32, 'dead_letters_dead_idx', 'iI', '{}', NULL, '{}'),
    (32, 'dead_letters_digest_idx', 'iI', '{}', NULL, '{}'),
    (32, 'dead_letters_order_idx', 'iI', '{}', NULL, '{}'),
    (32, 'dead_letters_replay_idx', 'iI', '{}', NULL, '{}'),
    (32, 'dead_letters_ended_idx', 'iI', '{}', NULL, '{}'),
    (32, 'job_items', 'rp', '{}', NULL, '{}')
),
used AS (
    SELECT needed.*, oid, relkind, relowner, relpersistence
    FROM needed LEFT JOIN pg_class ON oid = to_regclass(name)
    WHERE uses & $1::integer <> 0
),
lacking_columns AS (
    SELECT name, column_name, (name, column_name) IN (
        ('order_outbox', 'json'), ('order_outbox', 'lease'), ('order_outbox', 'traceparent'),
        ('order_outbox', 'tracestate'), ('order_outbox', 'replay_of'),
        ('jobs', 'parameters'), ('jobs', 'requested_by'), ('jobs', 'total'), ('jobs', 'done'),
        ('jobs', 'checkpoint'), ('jobs', 'result'), ('jobs', 'cancel'),
        ('jobs', 'automatic'),
        ('scheduler_seen', 'archive'), ('scheduler_seen', 'archive_fault'),
        ('sales_ledger_state', 'obstacle'), ('sales_ledger_state', 'triggers_lost_at')) AS later
    FROM used, unnest(columns) AS column_name
    WHERE oid IS NOT NULL AND NOT EXISTS (
        SELECT FROM pg_attribute
        WHERE attrelid = used.oid AND attname = column_name AND NOT attisdropped)
),
-- Indexes over columns alone and over all rows, by which ON CONFLICT and REFRESH … CONCURRENTLY go.
unique_indexes AS (
    SELECT indrelid, CASE WHEN indnkeyatts = 1 THEN indkey[0] END AS only_column
    FROM pg_index
    WHERE indrelid IN (SELECT oid FROM used) AND indisunique AND indisvalid AND indimmediate
        AND indpred IS NULL AND indexprs IS NULL
),
-- A domain has the type that it is made of.
order_columns AS (
    SELECT attname, format_type(atttypid, atttypmod) AS called, attgenerated,
        atttypid AS type, atttypmod AS typmod
    FROM used JOIN pg_attribute ON attrelid = oid
    WHERE uses = 2 AND attname = ANY (columns) AND NOT attisdropped
    UNION ALL
    SELECT attname, called, attgenerated, typbasetype, typtypmod
    FROM order_columns JOIN pg_type ON oid = type
    WHERE typtype = 'd'
),
column_faults AS (
    SELECT format('orders.%s is %s; it must be %s', attname, called, must_be) AS fault
    FROM order_columns JOIN pg_type ON oid = type AND typtype <> 'd',
    LATERAL (SELECT CASE
        WHEN attgenerated <> '' THEN
            'a column that takes values'
        WHEN attname = 'id' AND NOT (
            type IN ('uuid'::regtype, 'text'::regtype)
            OR type = 'varchar'::regtype AND (typmod = -1 OR typmod - 4 >= 36)
            OR type = 'bpchar'::regtype AND typmod - 4 = 36) THEN
            'uuid, or text of 36 characters'
        -- Blanks are added to a char(n).
        WHEN attname = 'product_name' AND type NOT IN ('text'::regtype, 'varchar'::regtype)
            AND typname <> 'citext' THEN
            'text'
        -- The digits behind the point are in the lower bits (numeric.c). A double has 15 digits.
        WHEN attname = 'amount' AND type <> 'float8'::regtype AND NOT (
            type = 'numeric'::regtype
            AND (typmod = -1 OR (((typmod - 4) & 2047) # 1024) - 1024 >= 2)) THEN
            'numeric with two decimals or more'
        -- Every transaction is in UTC (settings.h), so a timestamp serves too.
        WHEN attname = 'created_at'
            AND type NOT IN ('timestamptz'::regtype, 'timestamp'::regtype) THEN
            'timestamptz'
        END AS must_be) AS judged
    WHERE must_be IS NOT NULL
    UNION ALL
    SELECT format('orders.%s is NOT NULL without a default: no order has a value for it', attname)
    FROM used JOIN pg_attribute ON attrelid = used.oid JOIN pg_type ON pg_type.oid = atttypid
    WHERE uses = 2 AND attnum > 0 AND NOT attisdropped AND attname <> ALL (columns)
        AND attnotnull AND NOT atthasdef AND attidentity = '' AND typdefault IS NULL
),
installing AS (
    SELECT CASE WHEN current_schema() IS NULL THEN
        format('role %s may use no schema of its search_path', current_user)
    WHEN NOT has_schema_privilege(current_schema(), 'CREATE') THEN
        format('role %s lacks CREATE on schema %s', current_user, current_schema())
    END AS refusal
),
faults AS (
    SELECT 1 AS rank, format('%s is not a %s', name,
        CASE kinds WHEN 'm' THEN 'materialized view' WHEN 'iI' THEN 'index' ELSE 'table' END)
        AS fault
    FROM used WHERE strpos(kinds, relkind::text) = 0
    UNION ALL
    SELECT 2, format('%s has no column %s', name, column_name)
    FROM lacking_columns WHERE NOT later
    UNION ALL
    SELECT 3, format('%s has no unique index on %s alone, which ON CONFLICT needs', name, target)
    FROM used
    WHERE relkind IN ('r', 'p') AND target IS NOT NULL AND NOT EXISTS (
        SELECT FROM unique_indexes JOIN pg_attribute
            ON attrelid = indrelid AND attnum = only_column
        WHERE indrelid = used.oid AND attname = target)
    UNION ALL
    SELECT 4, fault FROM column_faults
    UNION ALL
    SELECT 5, 'orders is unlogged: a crash of the server empties it'
    FROM used WHERE uses = 2 AND relpersistence = 'u'
    UNION ALL
    SELECT 6, format('role %s lacks %s on %s', current_user, privilege, name)
    FROM used, unnest(privileges) AS privilege
    WHERE oid IS NOT NULL AND NOT CASE privilege
        WHEN 'DELETE' THEN has_table_privilege(oid, privilege)
        ELSE has_any_column_privilege(oid, privilege) END
    UNION ALL
    SELECT 7, format('daily_sales_mv belongs to role %s: role %s cannot refresh it',
        pg_get_userbyid(relowner), current_user)
    FROM used
    WHERE uses = 32 AND relkind = 'm' AND NOT pg_has_role(relowner, 'USAGE')
        AND NOT CASE WHEN current_setting('server_version_num')::integer >= 170000
            THEN has_table_privilege(oid, 'MAINTAIN') ELSE false END
    UNION ALL
    -- A refresh runs as the view's owner.
    SELECT 8, format('role %s, which daily_sales_mv belongs to, lacks %s',
        pg_get_userbyid(relowner), lacks)
    FROM used, LATERAL (SELECT CASE
        WHEN NOT has_database_privilege(relowner, current_database()::text, 'TEMPORARY')
            THEN 'TEMPORARY on the database'
        WHEN NOT has_any_column_privilege(relowner, to_regclass('orders'), 'SELECT')
            THEN 'SELECT on orders'
        END AS lacks) AS judged
    WHERE uses = 32 AND relkind = 'm' AND lacks IS NOT NULL
    UNION ALL
    -- The scheduler makes again what somebody drops.
    SELECT 9, refusal FROM installing WHERE refusal IS NOT NULL AND $1::integer & 32 <> 0
),
missing AS (
    SELECT name || ' is missing' AS missing FROM used WHERE oid IS NULL
    UNION ALL
    SELECT 'daily_sales_mv has no unique index' FROM used
    WHERE uses = 32 AND relkind = 'm' AND oid NOT IN (SELECT indrelid FROM unique_indexes)
    UNION ALL
    SELECT format('%s has no column %s', name, column_name) FROM lacking_columns WHERE later
)
SELECT (SELECT fault FROM faults ORDER BY rank, fault LIMIT 1) AS fault,
    (SELECT missing FROM missing ORDER BY missing <> 'orders is missing', missing LIMIT 1) AS missing,
    refusal
FROM installing
