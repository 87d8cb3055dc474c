/* The setup of the index beside a fake Elasticsearch, by the test's clock. The functions assert. */
#ifndef TESTS_INDEXER_INDEX_SCENE_H
#define TESTS_INDEXER_INDEX_SCENE_H

#include "services/indexer/index_setup.h"

#define LONGEST_BACKOFF_MS 1000

enum request_kind { LOOK, PUT_TEMPLATE, LIST, PUT_INDEX, REQUEST_KINDS };

struct answer {
    int status; /* 0: none */
    const char *body;
};

static const struct answer found = {200, "{\"orders\":{\"aliases\":{}}}"};
static const struct answer found_alias = {
    200, "{\"orders-000001\":{\"aliases\":{\"orders\":{\"is_write_index\":true}}}}"};
static const struct answer done = {200, "{\"acknowledged\":true}"};
static const struct answer missing = {404, "{\"error\":{\"type\":\"index_not_found_exception\"}}"};
static const struct answer exists_already = {
    400, "{\"error\":{\"type\":\"resource_already_exists_exception\",\"reason\":\"faster\"}}"};

struct scene {
    struct http_peer *peer;
    struct event_loop *loop;
    struct elasticsearch *client;
    struct index_definition *definition;
    struct index_setup *setup;
    int told; /* on_state() was called so often */
    bool usable;
    char reason[256];
    int warnings; /* on_warning() was called so often */
    char warning[256];
};

/* The answers from now on; the list of indices is empty, and once an index was created, a look
 * finds it. The calls so far are forgotten. */
void set_answers(struct answer look, struct answer template, struct answer index);
/* After set_answers(): to the list, and to a look once an index was to be created; status 0: no
 * other one. */
void set_list(struct answer list, struct answer after);

/* Calls are written as "look template list index1 ". */
bool called(const char *call);
void assert_calls(const char *expected);
const char *last_body(enum request_kind kind);

void scene_start(struct scene *scene);
void scene_start_usable(struct scene *scene); /* and an index of the name itself is found */
void scene_finish(struct scene *scene);
void scene_turn_until_told(struct scene *scene, int times);
void scene_pass(struct scene *scene, int64_t ms);
/* Time passes, slowly enough for a server that answers. */
void scene_step(struct scene *scene);

#endif
