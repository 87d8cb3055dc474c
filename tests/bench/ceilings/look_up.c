/* libpq and libcurl alone: the row and the dead letters of an order by one query, its document by a
 * GET, side by side, and the next order when both are there. One thread, as many orders at once as
 * there are connections to Elasticsearch; their queries share a few pipelined connections to
 * PostgreSQL. */
#include "services/base/clock.h"
#include "tests/bench/ceilings/ceilings.h"
#include <curl/curl.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POSTGRES_CONNECTIONS 4 /* as a gateway of two loops has */
#define SLOTS_MAX 1024

static const char look_up_sql[] =
    "SELECT orders.created_at, archive, letter.id, reason, stage, state, died_at, replayed_as"
    " FROM (VALUES (1)) AS one LEFT JOIN orders ON orders.id = $1 LEFT JOIN scheduler_seen ON true"
    " LEFT JOIN LATERAL (SELECT id, reason, stage, state, died_at, replayed_as FROM dead_letters"
    " WHERE order_id = $1 ORDER BY id DESC LIMIT 100) AS letter ON true";

struct slot {
    CURL *easy;
    int left; /* answers */
    int64_t began_us;
};

struct connection {
    PGconn *conn;
    struct slot *waiting[SLOTS_MAX]; /* a ring: answers come in the order of the queries */
    unsigned head, count;
};

static struct {
    const char *url; /* of the index */
    CURLM *multi;
    struct connection connections[POSTGRES_CONNECTIONS];
    long ids, begun, done, count;
    int64_t *latency_us;
} run;

static size_t ignore(char *bytes, size_t size, size_t count, void *arg)
{
    (void)bytes, (void)arg;
    return size * count;
}

static void begin(struct slot *slot)
{
    char id[64], url[512];
    const char *const values[] = {id};
    (void)snprintf(id, sizeof(id), "00000000-0000-0000-0000-%012ld", run.begun % run.ids + 1);
    (void)snprintf(url, sizeof(url), "%s/_doc/%s?realtime=false&_source=false&filter_path=found",
                   run.url, id);
    slot->left = 2;
    slot->began_us = clock_monotonic_us();
    curl_easy_setopt(slot->easy, CURLOPT_URL, url);
    curl_multi_add_handle(run.multi, slot->easy);

    struct connection *to = &run.connections[run.begun++ % POSTGRES_CONNECTIONS];
    if (PQsendQueryPrepared(to->conn, "look_up", 1, values, NULL, NULL, 1) != 1 ||
        PQpipelineSync(to->conn) != 1 || PQflush(to->conn) == -1)
        die("postgres", PQerrorMessage(to->conn));
    to->waiting[(to->head + to->count++) % SLOTS_MAX] = slot;
}

static void answered(struct slot *slot)
{
    if (--slot->left > 0)
        return;
    run.latency_us[run.done++] = clock_monotonic_us() - slot->began_us;
    if (run.begun < run.count)
        begin(slot);
}

static void read_postgres(struct connection *from)
{
    if (PQconsumeInput(from->conn) != 1)
        die("postgres", PQerrorMessage(from->conn));
    while (from->count > 0 && !PQisBusy(from->conn)) {
        PGresult *result = PQgetResult(from->conn);
        ExecStatusType status = result != NULL ? PQresultStatus(result) : PGRES_TUPLES_OK;
        if (status == PGRES_PIPELINE_SYNC) {
            struct slot *slot = from->waiting[from->head];
            from->head = (from->head + 1) % SLOTS_MAX;
            from->count--;
            answered(slot);
        } else if (status != PGRES_TUPLES_OK) {
            die("postgres", PQerrorMessage(from->conn));
        }
        PQclear(result);
    }
    (void)PQflush(from->conn);
}

static void read_elasticsearch(void)
{
    int running, left;
    CURLMsg *message;
    if (curl_multi_perform(run.multi, &running) != CURLM_OK)
        die("elasticsearch", "curl_multi_perform");
    while ((message = curl_multi_info_read(run.multi, &left)) != NULL) {
        CURL *easy = message->easy_handle;
        struct slot *slot;
        if (message->data.result != CURLE_OK)
            die("elasticsearch", curl_easy_strerror(message->data.result));
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &slot);
        curl_multi_remove_handle(run.multi, easy);
        answered(slot);
    }
}

static void connect_all(struct slot *slots, long connections)
{
    for (unsigned i = 0; i < POSTGRES_CONNECTIONS; i++) {
        PGconn *conn = run.connections[i].conn = PQconnectdb(setting("POSTGRES_DSN"));
        if (PQstatus(conn) != CONNECTION_OK)
            die("postgres", PQerrorMessage(conn));
        PGresult *prepared = PQprepare(conn, "look_up", look_up_sql, 1, NULL);
        if (PQresultStatus(prepared) != PGRES_COMMAND_OK || PQsetnonblocking(conn, 1) != 0 ||
            PQenterPipelineMode(conn) != 1)
            die("postgres", PQerrorMessage(conn));
        PQclear(prepared);
    }
    run.multi = curl_multi_init();
    curl_multi_setopt(run.multi, CURLMOPT_MAXCONNECTS, connections);
    for (long i = 0; i < connections; i++) {
        slots[i].easy = curl_easy_init();
        curl_easy_setopt(slots[i].easy, CURLOPT_PRIVATE, &slots[i]);
        curl_easy_setopt(slots[i].easy, CURLOPT_WRITEFUNCTION, ignore);
        curl_easy_setopt(slots[i].easy, CURLOPT_FAILONERROR, 1L);
        curl_easy_setopt(slots[i].easy, CURLOPT_TIMEOUT, 60L);
    }
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

struct latency look_up(const char *index, long connections, long ids, long count)
{
    static struct slot slots[SLOTS_MAX];
    char url[256];
    if (connections > SLOTS_MAX || connections > count)
        die("look-up", "too many connections");
    (void)snprintf(url, sizeof(url), "%s/%s", setting("ELASTICSEARCH_URL"), index);
    run.url = url;
    run.ids = ids;
    run.count = count;
    run.latency_us = calloc((size_t)count, sizeof(int64_t));
    if (!run.latency_us)
        die("look-up", "out of memory");
    connect_all(slots, connections);
    for (long i = 0; i < connections; i++)
        begin(&slots[i]);
    while (run.done < count) {
        struct curl_waitfd fds[POSTGRES_CONNECTIONS];
        for (unsigned i = 0; i < POSTGRES_CONNECTIONS; i++)
            fds[i] = (struct curl_waitfd){.fd = PQsocket(run.connections[i].conn),
                                          .events = CURL_WAIT_POLLIN};
        curl_multi_poll(run.multi, fds, POSTGRES_CONNECTIONS, 100, NULL);
        for (unsigned i = 0; i < POSTGRES_CONNECTIONS; i++)
            read_postgres(&run.connections[i]);
        read_elasticsearch();
    }
    for (long i = 0; i < connections; i++)
        curl_easy_cleanup(slots[i].easy);
    curl_multi_cleanup(run.multi);
    for (unsigned i = 0; i < POSTGRES_CONNECTIONS; i++)
        PQfinish(run.connections[i].conn);
    qsort(run.latency_us, (size_t)count, sizeof(int64_t), compare);
    struct latency latency = {.p50_ms = (double)run.latency_us[count / 2] / 1000,
                              .p99_ms = (double)run.latency_us[count - 1 - count / 100] / 1000};
    free(run.latency_us);
    return latency;
}
