/* The database module against a real, private PostgreSQL. */
#include "tests/unit/clients/postgres/fixture.h"
#include "tests/unit/clients/postgres/postgres_server.h"

int main(void)
{
    postgres_server_start();
    int failures = run_connection_tests() + run_session_tests() + run_schema_tests() +
                   run_schema_check_tests() + run_orders_tests() + run_order_fate_tests() +
                   run_order_hours_tests() + run_order_scan_tests() + run_outbox_tests() +
                   run_overview_tests() + run_jobs_tests() + run_long_jobs_tests() +
                   run_letter_jobs_tests() + run_dead_letter_archive_tests() +
                   run_dead_letters_tests() + run_job_records_tests() + run_sales_ledger_tests() +
                   run_sales_view_tests() + run_search_index_tests();
    postgres_server_stop();
    return failures != 0;
}
