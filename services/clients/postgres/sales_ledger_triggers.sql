-- The triggers on orders, in a transaction with a lock_timeout: while CREATE TRIGGER waits for its
-- lock, all writers wait behind it.
DO $install$
DECLARE
    -- Qualified: the function has a search_path of its own.
    home text := (SELECT relnamespace::regnamespace FROM pg_class
                  WHERE oid = 'sales_ledger'::regclass);
    event text;
    tables text;
BEGIN
    PERFORM pg_advisory_xact_lock(7021786321203); -- nobody fills the ledger meanwhile
    IF (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'orders'::regclass
        AND tgenabled IN ('O', 'A') AND tgname IN ('sales_ledger_insert', 'sales_ledger_update',
            'sales_ledger_delete', 'sales_ledger_truncate')
        AND tgfoid = to_regprocedure(format('%s.sales_ledger_write()', home))) = 4 THEN
        RETURN; -- another scheduler was first
    END IF;

    -- What counts: a row without created_at belongs to no day. An amount that is no number (NULL,
    -- NaN, infinite, absurd) counts 0 and its order counts: NaN - NaN is NaN, so once it is in a sum
    -- it would stay. SECURITY DEFINER: writers need no rights on the ledger. The search_path keeps
    -- their tables, operators and casts out.
    EXECUTE format($create$
        CREATE OR REPLACE FUNCTION %1$s.sales_ledger_write() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $function$
        BEGIN
            IF TG_OP = 'INSERT' THEN
                INSERT INTO %1$s.sales_ledger (day, total, orders)
                SELECT (created_at AT TIME ZONE 'UTC')::date,
                    coalesce(sum(amount::numeric) FILTER (WHERE amount BETWEEN -1e30 AND 1e30), 0),
                    count(*)
                FROM new_rows WHERE created_at IS NOT NULL GROUP BY 1;
            ELSIF TG_OP = 'DELETE' THEN
                INSERT INTO %1$s.sales_ledger (day, total, orders)
                SELECT (created_at AT TIME ZONE 'UTC')::date,
                    -coalesce(sum(amount::numeric) FILTER (WHERE amount BETWEEN -1e30 AND 1e30), 0),
                    -count(*)
                FROM old_rows WHERE created_at IS NOT NULL GROUP BY 1;
            ELSIF TG_OP = 'UPDATE' THEN
                INSERT INTO %1$s.sales_ledger (day, total, orders)
                SELECT (created_at AT TIME ZONE 'UTC')::date,
                    coalesce(sum(sign * amount::numeric)
                        FILTER (WHERE amount BETWEEN -1e30 AND 1e30), 0),
                    sum(sign)
                FROM (SELECT created_at, amount, 1 AS sign FROM new_rows
                    UNION ALL SELECT created_at, amount, -1 FROM old_rows) AS changes
                WHERE created_at IS NOT NULL GROUP BY 1
                HAVING sum(sign) <> 0
                    OR sum(sign * amount::numeric) FILTER (WHERE amount BETWEEN -1e30 AND 1e30) <> 0;
            ELSE
                -- No DELETE: under REPEATABLE READ it would miss rows that are newer than its
                -- snapshot, whose orders are gone.
                TRUNCATE %1$s.sales_ledger;
            END IF;
            RETURN NULL;
        END
        $function$
    $create$, home);
    -- Else anybody could hang the function on a table of his own and forge revenue.
    EXECUTE format('REVOKE ALL ON FUNCTION %s.sales_ledger_write() FROM PUBLIC', home);

    FOR event, tables IN VALUES
        ('insert', 'REFERENCING NEW TABLE AS new_rows'),
        ('update', 'REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows'),
        ('delete', 'REFERENCING OLD TABLE AS old_rows'),
        ('truncate', '')
    LOOP
        -- One of that name is disabled, or calls another function.
        IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'orders'::regclass
                   AND tgname = 'sales_ledger_' || event) THEN
            EXECUTE format('DROP TRIGGER sales_ledger_%s ON %s', event, 'orders'::regclass);
        END IF;
        EXECUTE format('CREATE TRIGGER sales_ledger_%1$s AFTER %1$s ON %2$s %3$s'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION %4$s.sales_ledger_write()',
                       event, 'orders'::regclass, tables, home);
    END LOOP;
    -- What was written meanwhile is not in the ledger.
    UPDATE sales_ledger_state SET filled_at = '-infinity', triggers_lost_at = now()
    WHERE filled_at IS NOT NULL;
END
$install$
