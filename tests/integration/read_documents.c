/* What a document_reader reads: test_document_reader.py compares.
 * Usage: read_documents URL INDEX hours FROM TO yes|no | count | get | walk all|undated|FROM TO
 *        | delete
 * `get` reads ids, a line each; `delete` lines "INDEX ID SEQ_NO PRIMARY_TERM". Prints a line for
 * each hour, document or deletion. */
#include "proto/timestamp.h"
#include "services/scheduler/index/document_reader.h"
#include "services/scheduler/index/index_requests.h"
#include <curl/curl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    struct document_reader *reader;
    bool done, sums;
    int64_t to_us;
    char *lines[DOCUMENTS_MAX]; /* of the input */
    size_t count;
} program;

static void end(const struct error *failure)
{
    if (failure != NULL)
        (void)printf("failure %s\n", failure->message);
    program.done = true;
}

static int64_t instant(const char *text)
{
    int64_t us;
    if (timestamp_parse(text, strlen(text), &us) != 0)
        exit(2);
    return us;
}

static void on_hours(void *arg, const struct document_hour *hours, size_t count, bool more,
                     const struct error *failure)
{
    (void)arg;
    for (size_t i = 0; i < count; i++)
        (void)printf("%" PRId64 " %" PRId64 " %.2f\n", hours[i].start_us, hours[i].documents,
                     hours[i].sum);
    if (more)
        document_reader_hours(program.reader, hours[count - 1].start_us + INT64_C(3600000000),
                              program.to_us, program.sums, on_hours, NULL);
    else
        end(failure);
}

static void on_count(void *arg, int64_t documents, int64_t undated, const struct error *failure)
{
    (void)arg;
    (void)printf("%" PRId64 " %" PRId64 "\n", documents, undated);
    end(failure);
}

static void on_documents(void *arg, const struct document *documents, const struct error *failure)
{
    (void)arg;
    static const char *const states[] = {"absent", "order", "other"};
    for (size_t i = 0; failure == NULL && i < program.count; i++) {
        const struct document *document = &documents[i];
        (void)printf("%s", states[document->state]);
        if (document->state != DOCUMENT_ABSENT)
            (void)printf(" %s %" PRId64 " %" PRId64, document->index, document->seq_no,
                         document->primary_term);
        if (document->state == DOCUMENT_ORDER)
            (void)printf(" %" PRId64 " %" PRId64 " %s", document->order.amount_cents,
                         document->order.created_at_us, document->order.product_name);
        (void)puts("");
    }
    end(failure);
}

static void on_places(void *arg, enum document_page page, const struct document_place *places,
                      size_t count, const struct error *failure)
{
    (void)arg;
    for (size_t i = 0; i < count; i++)
        (void)printf("%s %s %" PRId64 " %" PRId64 " %s\n", places[i].index,
                     places[i].is_order_id ? "order" : "other", places[i].seq_no,
                     places[i].primary_term, places[i].id);
    if (page == DOCUMENT_PAGE) {
        document_reader_next_page(program.reader, on_places, NULL);
        return;
    }
    if (page == DOCUMENT_PAGE_LOST)
        (void)puts("lost");
    end(failure);
}

static void on_deletions(void *arg, const enum document_deletion *deletions,
                         const struct error *failure)
{
    (void)arg;
    static const char *const words[] = {"deleted", "gone", "changed", "busy"};
    for (size_t i = 0; failure == NULL && i < program.count; i++)
        (void)puts(words[deletions[i]]);
    end(failure);
}

static void delete_places(void)
{
    static struct document_place places[DOCUMENTS_MAX];
    for (size_t i = 0; i < program.count; i++) {
        char *rest = program.lines[i];
        places[i].index = strsep(&rest, " ");
        places[i].id = strsep(&rest, " ");
        if (sscanf(rest, "%" SCNd64 " %" SCNd64, &places[i].seq_no, &places[i].primary_term) != 2)
            exit(2);
    }
    document_reader_delete(program.reader, places, program.count, on_deletions, NULL);
}

static void read_lines(void)
{
    char *line = NULL;
    size_t room = 0;
    for (ssize_t len; program.count < DOCUMENTS_MAX && (len = getline(&line, &room, stdin)) > 0;) {
        line[len - 1] = '\0';
        program.lines[program.count++] = strdup(line);
    }
    free(line);
}

static void ask(int argc, char **argv)
{
    const char *what = argv[3];
    if (strcmp(what, "hours") == 0 && argc == 7) {
        program.to_us = instant(argv[5]);
        program.sums = strcmp(argv[6], "yes") == 0;
        document_reader_hours(program.reader, instant(argv[4]), program.to_us, program.sums,
                              on_hours, NULL);
    } else if (strcmp(what, "count") == 0) {
        document_reader_count(program.reader, on_count, NULL);
    } else if (strcmp(what, "get") == 0) {
        read_lines();
        document_reader_get(program.reader, (const char *const *)program.lines, program.count,
                            on_documents, NULL);
    } else if (strcmp(what, "walk") == 0 && argc == 6) {
        document_reader_first_page(program.reader, DOCUMENTS_DATED, instant(argv[4]),
                                   instant(argv[5]), on_places, NULL);
    } else if (strcmp(what, "walk") == 0 && argc == 5) {
        document_reader_first_page(program.reader,
                                   strcmp(argv[4], "all") == 0 ? DOCUMENTS_ALL : DOCUMENTS_UNDATED,
                                   0, 0, on_places, NULL);
    } else if (strcmp(what, "delete") == 0) {
        read_lines();
        delete_places();
    } else {
        exit(2);
    }
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    (void)signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    struct event_loop *loop = event_loop_new();
    struct index_requests *requests = index_requests_new(
        loop, &(struct elasticsearch_options){.url = argv[1]}, DOCUMENT_ANSWER_MAX_BYTES);
    program.reader = document_reader_new(requests, argv[2]);
    ask(argc, argv);
    while (!program.done)
        event_loop_turn(loop, 1000);
    for (size_t i = 0; i < program.count; i++)
        free(program.lines[i]);
    document_reader_free(program.reader);
    index_requests_free(requests);
    event_loop_free(loop);
    curl_global_cleanup();
    return EXIT_SUCCESS;
}
