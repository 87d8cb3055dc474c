/* Requests for a refresh against a table of jobs played by the test. The clock is the test's. */
#include "services/clients/postgres/jobs.h"
#include "services/clients/postgres/schema_watch.h"
#include "services/clients/postgres/search_index.h"
#include "services/gateway/adapters/refresh_jobs.h"
#include "tests/unit/support/cmocka_headers.h"
#include "tests/unit/support/test_clock.h"
#include <string.h>

/* ---- the table and the connection to it ---- */

static struct {
    bool connected, scheduler_seen;
    void (*on_state)(void *arg, bool up, const char *reason);
    void *arg;
    database_done_fn *on_requested, *on_looked, *on_index; /* answers that are due */
    unsigned requests, looks, index_reads;
    struct search_index index;
    int64_t first_id;         /* of the last look */
    int64_t last_job;         /* the newest job's id */
    enum job_state states[8]; /* by id */
} table;

static const struct database_answer ok = {.status = DATABASE_OK};
static const struct database_answer lost = {.status = DATABASE_UNAVAILABLE, .message = "lost"};
static const struct database_answer standby = {
    .status = DATABASE_FAILED, .sqlstate = "25006", .message = "read-only"};
static const struct database_answer refused = {.status = DATABASE_FAILED, .message = "refused"};

struct database *database_new(struct event_loop *loop, const struct database_options *options)
{
    (void)loop;
    table.on_state = options->on_state;
    table.arg = options->arg;
    return (struct database *)&table;
}

void database_free(struct database *database)
{
    assert_ptr_equal(database, &table);
}

struct schema_watch *schema_watch_new(struct event_loop *loop, struct database *database)
{
    (void)loop;
    assert_ptr_equal(database, &table);
    return NULL;
}

void schema_watch_free(struct schema_watch *watch)
{
    assert_null(watch);
}

int jobs_request(struct database *database, const char *kind, database_done_fn *on_done, void *arg)
{
    assert_ptr_equal(database, &table);
    assert_string_equal(kind, JOB_KIND_REFRESH);
    assert_ptr_equal(arg, table.arg);
    assert_null(table.on_requested);
    if (!table.connected)
        return -1;
    table.requests++;
    table.on_requested = on_done;
    return 0;
}

int64_t database_number(const struct database_answer *answer)
{
    return answer->status == DATABASE_OK ? table.last_job : 0;
}

int jobs_look(struct database *database, const char *kind, int64_t first_id,
              database_done_fn *on_done, void *arg)
{
    assert_ptr_equal(database, &table);
    assert_string_equal(kind, JOB_KIND_REFRESH);
    assert_ptr_equal(arg, table.arg);
    assert_null(table.on_looked);
    if (!table.connected)
        return -1;
    table.looks++;
    table.first_id = first_id;
    table.on_looked = on_done;
    return 0;
}

bool jobs_scheduler_seen(const struct database_answer *look)
{
    assert_int_equal(look->status, DATABASE_OK);
    return table.scheduler_seen;
}

enum job_state jobs_state(const struct database_answer *look, int64_t id)
{
    (void)look;
    return id >= table.first_id ? table.states[id] : JOB_UNFINISHED;
}

int search_index_read(struct database *database, database_done_fn *on_done, void *arg)
{
    assert_ptr_equal(database, &table);
    assert_ptr_equal(arg, table.arg);
    assert_null(table.on_index);
    if (!table.connected)
        return -1;
    table.index_reads++;
    table.on_index = on_done;
    return 0;
}

int search_index_row(const struct database_answer *answer, struct search_index *ret_index)
{
    if (answer->status != DATABASE_OK)
        return -1;
    *ret_index = table.index;
    return 0;
}

static void answer_index(const struct database_answer *answer)
{
    database_done_fn *on_index = table.on_index;
    assert_non_null(on_index);
    table.on_index = NULL;
    on_index(table.arg, answer);
}

static void answer_request(int64_t job, const struct database_answer *answer)
{
    database_done_fn *on_requested = table.on_requested;
    assert_non_null(on_requested);
    table.on_requested = NULL;
    table.last_job = job;
    on_requested(table.arg, answer);
}

static void answer_look(const struct database_answer *answer)
{
    database_done_fn *on_looked = table.on_looked;
    assert_non_null(on_looked);
    table.on_looked = NULL;
    on_looked(table.arg, answer);
}

/* ---- the gateway's side ---- */

static struct event_loop *loop;
static struct sales_refresh *port;
static unsigned answers[SALES_REFRESH_TIMEOUT + 1];
static unsigned ups, downs;

static void on_connection(void *arg, bool up, const char *reason)
{
    assert_null(arg);
    assert_true(up == (reason == NULL));
}

static void on_state(void *arg, bool up, const char *reason)
{
    (void)arg;
    assert_int_equal(up, reason == NULL);
    ups += up;
    downs += !up;
}

static int64_t documents_told;

static void on_index(void *arg, const struct search_index *index)
{
    assert_ptr_equal(arg, &documents_told);
    documents_told = index == NULL ? -1 : index->documents;
}

static void on_done(void *arg, enum sales_refresh_status status)
{
    (void)arg;
    answers[status]++;
}

static int ask(void)
{
    return port->refresh(port->self, on_done, NULL);
}

static void pass(int64_t ms)
{
    test_clock_pass(ms, event_loop_turn(loop, 0));
}

/* The table says what it says, about every look in this time. */
static void pass_looking(int64_t ms)
{
    for (int64_t step_ms = ms > 10 ? 10 : 1; ms > 0; ms -= step_ms) {
        test_clock_advance(step_ms);
        event_loop_turn(loop, 0);
        if (table.on_looked != NULL)
            answer_look(&ok);
    }
}

static int set_up(void **state)
{
    (void)state;
    memset(&table, 0, sizeof table);
    memset(answers, 0, sizeof answers);
    ups = downs = 0;
    loop = event_loop_new();
    port = refresh_jobs_new(loop, &(struct refresh_jobs_options){.dsn = "",
                                                                 .on_state = on_state,
                                                                 .on_index = on_index,
                                                                 .index_arg = &documents_told,
                                                                 .on_connection = on_connection});
    table.connected = table.scheduler_seen = true;
    table.on_state(table.arg, true, NULL);
    pass_looking(1);
    assert_int_equal(ups, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    refresh_jobs_free(port);
    event_loop_free(loop);
    return 0;
}

/* Each second, however often the jobs are looked at; the next time comes when it is answered. */
static void tells_of_the_index(void **state)
{
    (void)state;
    table.on_state(table.arg, false, "lost");
    assert_int_equal(documents_told, -1);
    table.on_state(table.arg, true, NULL);
    assert_int_equal(table.index_reads, 1);
    table.index.documents = 7;
    answer_index(&ok);
    assert_int_equal(documents_told, 7);
    assert_int_equal(ask(), 0);
    pass_looking(1);
    answer_request(1, &ok);
    pass_looking(900);
    assert_int_equal(table.index_reads, 1);
    pass_looking(300);
    assert_int_equal(table.index_reads, 2);
    pass_looking(3000);
    assert_int_equal(table.index_reads, 2);
    table.index.documents = 8;
    answer_index(&lost);
    table.on_state(table.arg, false, "lost");
    assert_int_equal(documents_told, 7); /* as far as is known */
    table.on_state(table.arg, true, NULL);
    pass_looking(1000);
    assert_int_equal(table.index_reads, 3);
}

static void shares_statements_and_jobs(void **state)
{
    (void)state;
    for (int i = 0; i < REFRESH_JOBS_MAX_WAITING - 1; i++)
        assert_int_equal(ask(), 0);
    pass(1);
    assert_int_equal(table.requests, 1);
    assert_int_equal(ask(), 0); /* while the request is under way: goes with the next */
    assert_int_equal(ask(), -1);
    answer_request(1, &ok);
    answer_look(&ok);
    pass_looking(200);
    assert_int_equal(table.requests, 2);
    answer_request(2, &ok);

    unsigned looks = table.looks;
    pass_looking(3000);
    assert_in_range(table.looks - looks, 15, 31); /* each 100 to 200 ms, for all together */
    assert_int_equal(table.requests, 2);
    assert_int_equal(table.first_id, 1);
    table.states[1] = JOB_DONE;
    pass_looking(200);
    assert_int_equal(answers[SALES_REFRESH_DONE], REFRESH_JOBS_MAX_WAITING - 1);
    table.states[2] = JOB_FAILED;
    pass_looking(200);
    assert_int_equal(answers[SALES_REFRESH_FAILED], 1);

    looks = table.looks; /* nobody waits */
    pass_looking(10000);
    assert_in_range(table.looks - looks, 9, 11);
}

static void without_a_scheduler_the_answer_comes_at_once(void **state)
{
    (void)state;
    assert_int_equal(ask(), 0);
    pass(1);
    answer_request(0, &ok); /* nothing was added */
    assert_int_equal(answers[SALES_REFRESH_UNAVAILABLE], 1);

    table.scheduler_seen = false;
    answer_look(&ok);
    assert_int_equal(downs, 1);
    unsigned requests = table.requests;
    assert_int_equal(ask(), 0);
    pass(1);
    assert_int_equal(answers[SALES_REFRESH_UNAVAILABLE], 2);
    assert_int_equal(table.requests, requests);
    pass_looking(3000);
    assert_int_equal(downs, 1);

    table.scheduler_seen = true;
    pass_looking(1100);
    assert_int_equal(ups, 2);
    assert_int_equal(ask(), 0);
    pass(1);
    assert_int_equal(table.requests, requests + 1);
}

/* The scheduler dies with the job, and no other comes. */
static void a_scheduler_that_is_gone_is_unavailable(void **state)
{
    (void)state;
    assert_int_equal(ask(), 0);
    pass(1);
    answer_request(1, &ok);
    pass_looking(1000);
    table.scheduler_seen = false;
    pass_looking(200);
    assert_int_equal(answers[SALES_REFRESH_UNAVAILABLE], 1);
}

/* A request may wait for a database that comes back, but not for ever. */
static void a_database_that_is_gone(void **state)
{
    (void)state;
    assert_int_equal(ask(), 0);
    pass(1);
    answer_request(1, &ok);
    answer_look(&ok);
    table.connected = false;
    assert_int_equal(ask(), 0);
    pass(4000);
    table.connected = true;
    table.states[1] = JOB_DONE;
    pass_looking(200);
    assert_int_equal(answers[SALES_REFRESH_DONE], 1);
    answer_request(0, &lost); /* asked again */
    pass_looking(200);
    answer_request(2, &ok);
    table.states[2] = JOB_DONE;
    pass_looking(200);
    assert_int_equal(answers[SALES_REFRESH_DONE], 2);

    table.connected = false;
    assert_int_equal(ask(), 0);
    pass(4700);
    assert_int_equal(answers[SALES_REFRESH_UNAVAILABLE], 0);
    assert_int_equal(downs, 0);
    pass(400);
    assert_int_equal(answers[SALES_REFRESH_UNAVAILABLE], 1);
    assert_int_equal(downs, 1);
}

static void a_refused_statement_is_a_failure(void **state)
{
    (void)state;
    assert_int_equal(ask(), 0);
    pass(1);
    answer_request(0, &refused);
    assert_int_equal(answers[SALES_REFRESH_FAILED], 1);
    answer_look(&refused);
    assert_int_equal(downs, 0);
}

static void what_passes_is_asked_again(void **state)
{
    (void)state;
    assert_int_equal(ask(), 0);
    pass(1);
    answer_request(0, &standby);
    pass_looking(200);
    assert_int_equal(table.requests, 2);
    assert_int_equal(answers[SALES_REFRESH_FAILED], 0);
}

static void a_job_that_does_not_end_times_out(void **state)
{
    (void)state;
    assert_int_equal(ask(), 0);
    pass(1);
    answer_request(1, &ok);
    pass_looking(SALES_REFRESH_TIMEOUT_MS - 1000);
    assert_int_equal(answers[SALES_REFRESH_TIMEOUT], 0);
    pass_looking(1200);
    assert_int_equal(answers[SALES_REFRESH_TIMEOUT], 1);
}

static void ask_again(void *arg, enum sales_refresh_status status)
{
    on_done(arg, status);
    assert_int_equal(ask(), 0);
}

static void a_callback_may_ask_again(void **state)
{
    (void)state;
    assert_int_equal(port->refresh(port->self, ask_again, NULL), 0);
    pass(1);
    answer_request(1, &ok);
    table.states[1] = JOB_DONE;
    pass_looking(400);
    assert_int_equal(answers[SALES_REFRESH_DONE], 1);
    assert_int_equal(table.requests, 2); /* and it is dropped without an answer */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tells_of_the_index),
        TEST(shares_statements_and_jobs),
        TEST(without_a_scheduler_the_answer_comes_at_once),
        TEST(a_scheduler_that_is_gone_is_unavailable),
        TEST(a_database_that_is_gone),
        TEST(a_refused_statement_is_a_failure),
        TEST(what_passes_is_asked_again),
        TEST(a_job_that_does_not_end_times_out),
        TEST(a_callback_may_ask_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
