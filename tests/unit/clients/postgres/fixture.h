/* What every test of the database module starts from: an empty database of its own on the private
 * server, a loop, and connections on it. */
#ifndef TEST_DATABASE_FIXTURE_H
#define TEST_DATABASE_FIXTURE_H

#include "services/clients/postgres/connection.h"
#include "services/clients/postgres/orders.h"
#include "services/loop/event_loop.h"
#include "tests/unit/support/cmocka_headers.h"
#include <libpq-fe.h>

struct fixture {
    struct event_loop *loop;
    PGconn *admin; /* blocking, for what the tests do to the server and see in it */
    char dsn[200];
    char client_dsn[200]; /* of the connections under test: the same, or through a pooler */
};

/* From now on, connections under test go through the pooler on this port of 127.0.0.1. */
void fixture_connect_through(uint16_t port);

/* For cmocka's setup and teardown: *state is the struct fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Reconnect `admin` after the server was restarted. */
void fixture_reconnect(struct fixture *fixture);

/* Run the loop until *flag, failing the test after PATIENCE_MS; or for a time. */
void run_until(struct fixture *fixture, const bool *flag);
void run_for(struct fixture *fixture, int64_t for_ms);
/* Run the loop until the first value of this query, as administrator, is `value`. */
void run_until_query(struct fixture *fixture, const char *sql, const char *value);

/* Run statements as administrator; the test fails if they do. `query` gives the first value. */
void execute(struct fixture *fixture, const char *sql);
const char *query(struct fixture *fixture, const char *sql);

/* Of enum database_use. */
#define DATABASE_ALL_USES 63u

/* A connection under test, and what its on_state said last. */
struct connection {
    struct fixture *fixture;
    struct database *database;
    bool up, down;
    unsigned ups, downs;
    char reason[256];
};
struct database_options connection_options(struct connection *connection, struct fixture *fixture);
/* Installs the schema; the server's timeouts are long. Returns when up. */
void connection_open(struct connection *connection, struct fixture *fixture);
/* The same with a statement timeout of 1 s and a lock timeout of 500 ms. */
void connection_open_hasty(struct connection *connection, struct fixture *fixture);
void connection_close(struct connection *connection);
void run_until_up(struct connection *connection);

/* An answer of database_send(), copied. `rows` -1 without a result, `value` the first. */
struct reply {
    bool done;
    struct database_answer answer;
    int rows;
    char value[256];
};
void on_reply(void *arg, const struct database_answer *answer);
void send_and_wait(struct connection *connection, const char *sql, struct reply *reply);

/* An order with this number in its id. */
struct order make_order(unsigned number, const char *name, int64_t amount_cents);

/* The original program's tables, with some orders. */
void install_original_schema(struct fixture *fixture);

#define DATABASE_TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

/* The groups of test_database.c and test_pooler.c; each returns the number of failures. */
int run_connection_tests(void);
int run_session_tests(void);
int run_schema_tests(void);
int run_schema_check_tests(void);
int run_orders_tests(void);
int run_order_fate_tests(void);
int run_order_hours_tests(void);
int run_order_scan_tests(void);
int run_outbox_tests(void);
int run_overview_tests(void);
int run_dead_letter_archive_tests(void);
int run_jobs_tests(void);
int run_long_jobs_tests(void);
int run_letter_jobs_tests(void);
int run_dead_letters_tests(void);
int run_job_records_tests(void);
int run_sales_ledger_tests(void);
int run_sales_view_tests(void);
int run_search_index_tests(void);

#endif
