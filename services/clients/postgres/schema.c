/* How a service sees whether the schema is there: the newest version, and each table and index. */
#include "services/clients/postgres/schema.h"

const char schema_check_sql[] =
    "SELECT version FROM order_pipeline_schema"
    " WHERE to_regclass('orders') IS NOT NULL AND to_regclass('order_outbox') IS NOT NULL"
    " AND to_regclass('sales_refresh') IS NOT NULL AND to_regclass('daily_sales_mv') IS NOT NULL"
    " AND to_regclass('daily_sales_mv_date_idx') IS NOT NULL AND to_regclass('jobs') IS NOT NULL"
    " AND to_regclass('jobs_unfinished_idx') IS NOT NULL"
    " AND to_regclass('scheduler_seen') IS NOT NULL"
    " ORDER BY version DESC LIMIT 1";
