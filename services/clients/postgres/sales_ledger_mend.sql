-- Adds to the ledger what it lacks of the UTC days from $1 to $2 (microseconds since 1970; NULL: all),
-- and asks for a refresh of the view if it lacked anything. One row: days, orders, and whether the
-- ledger had been filled before.
WITH bounds AS (
    SELECT (timestamptz 'epoch' + $1::bigint * interval '1 microsecond') AT TIME ZONE 'UTC' AS first,
        (timestamptz 'epoch' + $2::bigint * interval '1 microsecond') AT TIME ZONE 'UTC' AS last
),
stored AS (
    SELECT (created_at AT TIME ZONE 'UTC')::date AS day,
        coalesce(sum(amount::numeric) FILTER (WHERE amount BETWEEN -1e30 AND 1e30), 0) AS total,
        count(*) AS orders
    FROM orders
    -- Not by a join: the index on created_at is of use. The planner takes what is between the bounds
    -- for 0.5 % of the orders, whatever they are: so it uses the index, and groups by hashing.
    WHERE created_at >= coalesce(
            (SELECT date_trunc('day', first) AT TIME ZONE 'UTC' FROM bounds), '-infinity')
        AND created_at <= coalesce(
            (SELECT (date_trunc('day', last) + interval '1 day' - interval '1 microsecond')
                AT TIME ZONE 'UTC' FROM bounds), 'infinity')
    GROUP BY 1
),
kept AS (
    SELECT day, sum(total) AS total, sum(orders) AS orders
    FROM sales_ledger
    WHERE day BETWEEN coalesce((SELECT first::date FROM bounds), '-infinity')
        AND coalesce((SELECT last::date FROM bounds), 'infinity')
    GROUP BY day
),
drift AS MATERIALIZED (
    SELECT day, coalesce(stored.total, 0) - coalesce(kept.total, 0) AS total,
        (coalesce(stored.orders, 0) - coalesce(kept.orders, 0))::bigint AS orders
    FROM stored FULL JOIN kept USING (day)
    WHERE coalesce(stored.total, 0) <> coalesce(kept.total, 0)
        OR coalesce(stored.orders, 0) <> coalesce(kept.orders, 0)
),
found AS (
    SELECT count(*) AS days, coalesce(sum(abs(orders)), 0)::bigint AS orders,
        (SELECT filled_at IS NOT NULL FROM sales_ledger_state) AS filled
    FROM drift
),
mended AS (
    INSERT INTO sales_ledger (day, total, orders) SELECT day, trim_scale(total), orders FROM drift
),
told AS (
    UPDATE sales_ledger_state SET
        filled_at = CASE WHEN $1::bigint IS NULL AND $2::bigint IS NULL
            AND NOT coalesce(filled_at > '-infinity', false) THEN now() ELSE filled_at END,
        drift_at = CASE WHEN filled AND days > 0 THEN now() ELSE drift_at END,
        drift_days = CASE WHEN filled AND days > 0 THEN days ELSE drift_days END,
        drift_orders = CASE WHEN filled AND days > 0 THEN found.orders ELSE drift_orders END
    FROM found
    WHERE days > 0 OR NOT coalesce(filled_at > '-infinity', false)
),
asked AS (
    INSERT INTO jobs (kind) SELECT 'refresh' FROM found WHERE days > 0
)
SELECT days, orders, filled FROM found
