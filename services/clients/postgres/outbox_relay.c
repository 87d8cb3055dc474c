/* One batch from the outbox to the queue, in one explicit transaction on a connection of its own:
 *
 *   IDLE ──outbox_take()──▶ TAKING ──rows──▶ HOLDING ──outbox_finish()──▶ FINISHING ──▶ IDLE
 *
 * While the batch is held its rows are locked; other relays skip them. Whatever goes wrong (the
 * connection is lost, the process dies, the server ends a transaction that waited too long for us)
 * rolls back, and the rows are taken again later: an order may be published twice, never not at
 * all. */
#include "services/base/memory.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/order_rows.h"
#include "services/clients/postgres/outbox.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char sql_begin[] = "BEGIN";
static const char sql_commit[] = "COMMIT";
static const char sql_rollback[] = "ROLLBACK";

enum relay_state { RELAY_IDLE, RELAY_TAKING, RELAY_HOLDING, RELAY_FINISHING };

struct outbox_relay {
    struct database *database;
    enum relay_state state;
    bool lost;                /* the transaction of the batch is gone with its connection */
    struct loop_timer *timer; /* answers outbox_finish() from the loop */
    void (*on_state)(void *arg, bool up, const char *reason);
    void *on_state_arg;

    outbox_batch_fn *on_batch;
    database_done_fn *on_done;
    void *arg;
    bool published;
    struct order orders[OUTBOX_BATCH];
    int64_t seqs[OUTBOX_BATCH];
    size_t count;
    struct database_answer first_failure; /* of the statements that finish */
};

/* Statements of a transaction whose own answers do not matter: if one fails, so does what follows
 * it. */
static void ignore_answer(void *arg, const struct database_answer *answer)
{
    (void)arg, (void)answer;
}

static void on_rows(void *arg, const struct database_answer *answer)
{
    struct outbox_relay *relay = arg;
    int rows = answer->status == DATABASE_OK ? PQntuples(answer->result) : 0;
    relay->count = 0;
    for (int i = 0; i < rows && i < OUTBOX_BATCH; i++) {
        /* A row that is no order was written by another hand. It stays, for a person to look at,
         * and shows in outbox_backlog(). */
        if (order_row_decode(answer->result, i, &relay->orders[relay->count]) == NULL)
            relay->seqs[relay->count++] =
                binary_integer(PQgetvalue(answer->result, i, 4), sizeof(int64_t));
    }
    if (relay->count == 0 && answer->status != DATABASE_UNAVAILABLE)
        /* Nothing to hold. If this cannot be sent, the lost connection ends the transaction. */
        (void)!database_send(relay->database, sql_rollback, NULL, false, ignore_answer, NULL);
    relay->state = relay->count > 0 ? RELAY_HOLDING : RELAY_IDLE;
    relay->on_batch(relay->arg, relay->count > 0 ? relay->orders : NULL, relay->count, answer);
}

int outbox_take(struct outbox_relay *relay, outbox_batch_fn *on_batch, void *arg)
{
    static const char sql[] =
        "SELECT order_id, product_name, amount::text, created_at, seq FROM order_outbox"
        " ORDER BY seq LIMIT $1::int FOR UPDATE SKIP LOCKED";
    if (relay->state != RELAY_IDLE)
        return -1;
    char limit[16];
    snprintf(limit, sizeof limit, "%d", OUTBOX_BATCH);
    const char *const values[] = {limit};
    const struct database_parameters parameters = {.count = 1, .values = values};
    if (database_send(relay->database, sql_begin, NULL, false, ignore_answer, NULL) != 0 ||
        database_send(relay->database, sql, &parameters, true, on_rows, relay) != 0)
        return -1; /* if it was the second, the connection is lost */
    relay->state = RELAY_TAKING;
    relay->lost = false;
    relay->on_batch = on_batch;
    relay->arg = arg;
    return 0;
}

static void finished(struct outbox_relay *relay, const struct database_answer *answer)
{
    relay->state = RELAY_IDLE;
    relay->on_done(relay->arg, answer);
}

static void on_lost(void *arg)
{
    struct outbox_relay *relay = arg;
    struct database_answer unavailable;
    answer_set_unavailable(&unavailable, "the connection was lost, and the transaction with it");
    finished(relay, &unavailable);
}

static void on_deleted(void *arg, const struct database_answer *answer)
{
    struct outbox_relay *relay = arg;
    relay->first_failure = *answer;
    relay->first_failure.result = NULL;
}

static void on_ended(void *arg, const struct database_answer *answer)
{
    struct outbox_relay *relay = arg;
    /* COMMIT succeeds as a ROLLBACK after a DELETE that failed. */
    bool failed = relay->published && relay->first_failure.status != DATABASE_OK;
    finished(relay, failed ? &relay->first_failure : answer);
}

static int send_delete(struct outbox_relay *relay)
{
    static const char sql[] = "DELETE FROM order_outbox WHERE seq = ANY ($1::bigint[])";
    char seqs[OUTBOX_BATCH * 21 + 3] = "{";
    size_t len = 1;
    for (size_t i = 0; i < relay->count; i++)
        len += (size_t)snprintf(seqs + len, sizeof seqs - len, "%s%" PRId64, i > 0 ? "," : "",
                                relay->seqs[i]);
    seqs[len] = '}';
    seqs[len + 1] = '\0';
    const char *const values[] = {seqs};
    const struct database_parameters parameters = {.count = 1, .values = values};
    return database_send(relay->database, sql, &parameters, false, on_deleted, relay);
}

void outbox_finish(struct outbox_relay *relay, bool published, database_done_fn *on_done, void *arg)
{
    assert(relay->state == RELAY_HOLDING);
    relay->state = RELAY_FINISHING;
    relay->published = published;
    relay->on_done = on_done;
    relay->arg = arg;
    bool sent = !relay->lost && (!published || send_delete(relay) == 0) &&
                database_send(relay->database, published ? sql_commit : sql_rollback, NULL, false,
                              on_ended, relay) == 0;
    if (!sent)
        loop_timer_start(relay->timer, 0);
}

static void on_state(void *arg, bool up, const char *reason)
{
    struct outbox_relay *relay = arg;
    if (!up)
        relay->lost = true;
    if (relay->on_state != NULL)
        relay->on_state(relay->on_state_arg, up, reason);
}

struct outbox_relay *outbox_relay_new(struct event_loop *loop,
                                      const struct database_options *options)
{
    struct outbox_relay *relay = memory_new(sizeof *relay);
    relay->on_state = options->on_state;
    relay->on_state_arg = options->arg;
    relay->timer = event_loop_timer(loop, on_lost, relay);
    struct database_options own = *options;
    own.max_in_flight = 4; /* the end of one transaction and the beginning of the next */
    own.on_state = on_state;
    own.arg = relay;
    relay->database = database_new(loop, &own);
    return relay;
}

void outbox_relay_free(struct outbox_relay *relay)
{
    if (relay == NULL)
        return;
    database_free(relay->database);
    loop_timer_free(relay->timer);
    free(relay);
}
