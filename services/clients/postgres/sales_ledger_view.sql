-- daily_sales_mv over the ledger, in a transaction with a lock_timeout: the same name, columns,
-- types, index, owner and grants, so a scheduler of the release before goes on refreshing it.
DO $replace$
DECLARE
    old regclass := 'daily_sales_mv'::regclass;
    ledger regclass := 'sales_ledger'::regclass;
    owner text := (SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = old);
    home text := (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = old);
    given record;
BEGIN
    PERFORM pg_advisory_xact_lock(7021786321203); -- nobody else replaces it meanwhile,
    PERFORM pg_advisory_xact_lock(7021786321202); -- or refreshes it
    IF EXISTS (SELECT FROM pg_depend JOIN pg_rewrite ON pg_rewrite.oid = objid
               WHERE classid = 'pg_rewrite'::regclass AND refobjid = ledger AND ev_class = old) THEN
        RETURN; -- another scheduler was first
    END IF;
    EXECUTE format('CREATE MATERIALIZED VIEW %s.daily_sales_mv_new AS'
                   ' SELECT day AS sale_date, sum(total) AS total_revenue FROM %s'
                   ' GROUP BY day HAVING sum(orders) > 0', home, ledger);
    EXECUTE format('CREATE UNIQUE INDEX daily_sales_mv_new_idx ON %s.daily_sales_mv_new (sale_date)',
                   home);
    FOR given IN
        SELECT acl.privilege_type AS what, NULL AS on_column, acl.grantee, acl.is_grantable
        FROM pg_class, aclexplode(relacl) AS acl WHERE oid = old AND acl.grantee <> relowner
        UNION ALL
        SELECT acl.privilege_type, quote_ident(attname), acl.grantee, acl.is_grantable
        FROM pg_attribute, aclexplode(attacl) AS acl WHERE attrelid = old
    LOOP
        EXECUTE format('GRANT %s%s ON %s.daily_sales_mv_new TO %s%s', given.what,
                       ' (' || given.on_column || ')', home,
                       CASE given.grantee WHEN 0 THEN 'PUBLIC'
                           ELSE quote_ident(pg_get_userbyid(given.grantee)) END,
                       CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' END);
    END LOOP;
    -- A refresh runs as the view's owner.
    IF owner <> quote_ident(current_user) THEN
        EXECUTE format('GRANT SELECT ON %s TO %s', ledger, owner);
    END IF;
    EXECUTE format('DROP MATERIALIZED VIEW %s', old); -- late: from here to the end readers wait
    EXECUTE format('ALTER MATERIALIZED VIEW %s.daily_sales_mv_new RENAME TO daily_sales_mv', home);
    EXECUTE format('ALTER INDEX %s.daily_sales_mv_new_idx RENAME TO daily_sales_mv_date_idx', home);
    IF owner <> quote_ident(current_user) THEN
        EXECUTE format('ALTER MATERIALIZED VIEW %s.daily_sales_mv OWNER TO %s', home, owner);
    END IF;
END
$replace$
