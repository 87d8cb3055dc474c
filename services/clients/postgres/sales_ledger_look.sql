-- What has to be done before daily_sales_mv reads the ledger, and what has gone past it? One row:
--   next          'wait', 'cannot', 'triggers', 'fill', 'view' or 'done' (enum sales_ledger_next)
--   reason        of 'cannot', or why a 'done' leaves the view over orders; else NULL
--   untold        whether sales_ledger_state.obstacle is to become the reason of 'cannot', or NULL
--   lost          triggers of a ledger that was filled before that are missing or disabled now
--   lost_at, drift_at, drift_days, drift_orders
--                 of sales_ledger_state; instants in microseconds since 1970; NULL: never
-- Reads catalogs and one row.
WITH objects AS (
    SELECT orders.oid AS orders, orders.relkind AS orders_kind, ledger.oid AS ledger,
        ledger.relnamespace AS home, mv.oid AS mv, mv.relowner AS mv_owner,
        mv.relnamespace AS mv_home
    FROM (VALUES (1)) AS one
    LEFT JOIN pg_class AS orders ON orders.oid = to_regclass('orders')
    LEFT JOIN pg_class AS ledger ON ledger.oid = to_regclass('sales_ledger')
    LEFT JOIN pg_class AS mv ON mv.oid = to_regclass('daily_sales_mv') AND mv.relkind = 'm'
),
created_at AS (
    SELECT format_type(atttypid, atttypmod) AS called,
        coalesce(nullif(typbasetype, 0), atttypid) AS type -- a domain's is the one below it
    FROM objects JOIN pg_attribute ON attrelid = orders AND attname = 'created_at'
    JOIN pg_type ON pg_type.oid = atttypid
),
view_rules AS (
    SELECT ev_class, refobjid
    FROM objects JOIN pg_depend ON refobjid IN (ledger, mv) AND refclassid = 'pg_class'::regclass
        AND classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite ON pg_rewrite.oid = objid
)
SELECT CASE
    WHEN orders IS NULL OR ledger IS NULL OR mv IS NULL THEN 'wait' -- for schema.sql
    WHEN never IS NOT NULL THEN 'cannot'
    WHEN triggers <> 4 THEN 'triggers'
    WHEN NOT coalesce(filled_at > '-infinity', false) THEN 'fill'
    WHEN EXISTS (SELECT FROM view_rules WHERE ev_class = mv AND refobjid = ledger) THEN 'done'
    WHEN stays IS NULL THEN 'view'
    ELSE 'done' END AS next,
    CASE WHEN orders IS NULL OR ledger IS NULL OR mv IS NULL THEN NULL
    WHEN never IS NOT NULL THEN never
    WHEN NOT EXISTS (SELECT FROM view_rules WHERE ev_class = mv AND refobjid = ledger) THEN stays
    END AS reason,
    orders IS NOT NULL AND ledger IS NOT NULL AND only_row AND obstacle IS DISTINCT FROM never
        AS untold,
    CASE WHEN filled_at IS NOT NULL THEN 4 - triggers ELSE 0 END AS lost,
    (extract(epoch FROM triggers_lost_at) * 1000000)::bigint AS lost_at,
    (extract(epoch FROM drift_at) * 1000000)::bigint AS drift_at, drift_days, drift_orders
FROM objects LEFT JOIN created_at ON true LEFT JOIN sales_ledger_state ON true,
LATERAL (SELECT CASE WHEN orders IS NOT NULL AND ledger IS NOT NULL THEN
    (SELECT count(*) FROM pg_trigger WHERE tgrelid = orders AND tgenabled IN ('O', 'A')
        AND tgname IN ('sales_ledger_insert', 'sales_ledger_update', 'sales_ledger_delete',
            'sales_ledger_truncate')
        AND tgfoid = to_regprocedure(format('%s.sales_ledger_write()', home::regnamespace)))
    END AS triggers) AS there,
LATERAL (SELECT CASE
    WHEN orders_kind NOT IN ('r', 'p') THEN 'orders is no table'
    -- The day of a timestamp without time zone depends on the writer's session.
    WHEN type IS DISTINCT FROM 'timestamptz'::regtype THEN
        format('orders.created_at is %s; it must be timestamptz', called)
    WHEN NOT has_table_privilege(orders, 'TRIGGER') THEN
        format('role %s lacks TRIGGER on orders', current_user)
    -- The triggers write as the role that makes them.
    WHEN NOT (has_table_privilege(ledger, 'INSERT') AND has_table_privilege(ledger, 'TRUNCATE')) THEN
        format('role %s lacks INSERT or TRUNCATE on sales_ledger', current_user)
    WHEN NOT has_schema_privilege(home, 'CREATE') THEN
        format('role %s lacks CREATE on schema %s', current_user, home::regnamespace)
    END AS never) AS obstacles,
LATERAL (SELECT CASE
    WHEN NOT pg_has_role(mv_owner, 'USAGE') THEN
        format('daily_sales_mv belongs to role %s', pg_get_userbyid(mv_owner))
    WHEN NOT (has_schema_privilege(mv_home, 'CREATE')
        AND has_schema_privilege(mv_owner, mv_home, 'CREATE')) THEN
        format('CREATE on schema %s is missing', mv_home::regnamespace)
    WHEN EXISTS (SELECT FROM view_rules WHERE refobjid = mv AND ev_class <> mv) THEN
        format('%s depends on daily_sales_mv', (SELECT min(ev_class::regclass::text) FROM view_rules
            WHERE refobjid = mv AND ev_class <> mv))
    END AS stays) AS leave
