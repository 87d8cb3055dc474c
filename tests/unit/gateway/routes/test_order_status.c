#include "tests/unit/gateway/http_test.h"
#include "tests/unit/support/real_time.h"
#include "tests/unit/support/test_clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define ID "0190c1f0-1111-7222-8333-444455556666"
#define OTHER_ID "0190c1f0-1111-7222-8333-444455557777"
#define AT "2023-11-14T22:13:20.12Z"
#define PATH "/api/orders/" ID "/status"

static struct order an_order(void)
{
    struct order order = {.amount_cents = 14990, .created_at_us = 1700000000120000};
    assert_int_equal(order_id_parse(ID, 36, &order.id), 0);
    order_set_name(&order, "Laptop", 6);
    return order;
}

/* Who knows the order. */
static void put_entry(void)
{
    struct order order = an_order();
    fakes_put_entry(fakes, &order);
}

static void put_row(void)
{
    fakes->rows[fakes->row_count++] = an_order();
}

static struct dead_letter_brief *put_letter(const char *reason, const char *stage,
                                            const char *state)
{
    struct dead_letter_brief *letter = &fakes->letters[fakes->letter_count++];
    *letter = (struct dead_letter_brief){.id = 10 - (int64_t)fakes->letter_count,
                                         .reason = reason,
                                         .stage = stage,
                                         .state = state,
                                         .died_at_us = 1700000001000000};
    return letter;
}

static void get(void)
{
    http_request(fixture, "GET", PATH, "", NULL, &reply);
}

static void assert_status(const char *state, const char *accepted_at, const char *rest)
{
    char body[1024], quoted[64];
    snprintf(quoted, sizeof(quoted), accepted_at != NULL ? "\"%s\"" : "null", accepted_at);
    snprintf(body, sizeof(body), "{\"order_id\":\"" ID "\",\"state\":\"%s\",\"accepted_at\":%s,%s}",
             state, quoted, rest);
    assert_int_equal(reply.status, 200);
    assert_string_equal(reply.body, body);
    assert_string_equal(reply_header_value(&reply, "content-type"), "application/json");
    assert_string_equal(reply_header_value(&reply, "cache-control"), "no-store");
}

static int reset_archived(void **state)
{
    reset(state);
    fakes->archived = true;
    return 0;
}

static void test_the_way_of_an_order(void **state)
{
    (void)state;
    put_entry();
    get();
    assert_status("accepted", AT, "\"stored\":false,\"searchable\":false,\"dead_letters\":[]");
    put_row();
    get();
    assert_status("stored", AT, "\"stored\":true,\"searchable\":false,\"dead_letters\":[]");
    fakes->document = ORDER_DOCUMENT_FOUND;
    get();
    assert_status("searchable", AT, "\"stored\":true,\"searchable\":true,\"dead_letters\":[]");
    fakes->entry_count = 0; /* the cache forgets */
    get();
    assert_status("searchable", AT, "\"stored\":true,\"searchable\":true,\"dead_letters\":[]");
}

static void test_nobody_knows_it(void **state)
{
    (void)state;
    get();
    assert_problem(&reply, 404, "order_not_found");
    fakes->archived = false;
    put_letter("refused", "persist", "dead"); /* of the time before */
    get();
    assert_problem(&reply, 404, "order_not_found");
    http_request(fixture, "GET", "/api/orders/x/status", "", NULL, &reply);
    assert_problem(&reply, 400, "invalid_order_id");
    http_request(fixture, "POST", PATH, "", "{}", &reply);
    assert_problem(&reply, 405, "method_not_allowed");
}

#define LETTER(id, reason, stage, state, as)                                                       \
    "{\"id\":" id ",\"reason\":\"" reason "\",\"stage\":\"" stage                                  \
    "\",\"died_at\":\"2023-11-14T22:13:21Z\",\"state\":\"" state "\",\"replayed_as\":" as "}"

static void test_dead(void **state)
{
    (void)state;
    put_letter("refused", "persist", "dead");
    fakes->letter_dated = true;
    fakes->letter_created_at_us = 1700000000120000;
    get();
    assert_status("dead", AT,
                  "\"stored\":false,\"searchable\":false,\"dead_letters\":[" LETTER(
                      "9", "refused", "persist", "dead", "null") "]");
    put_entry(); /* it was accepted here */
    get();
    assert_int_equal(reply.status, 200);
    assert_non_null(strstr(reply.body, "\"state\":\"dead\""));
    put_row(); /* it died at the other stage */
    get();
    assert_non_null(strstr(reply.body, "\"state\":\"dead\",\"accepted_at\":\"" AT
                                       "\",\"stored\":true,\"searchable\":false"));
    fakes->document = ORDER_DOCUMENT_FOUND;
    get();
    assert_non_null(strstr(reply.body, "\"state\":\"searchable\""));
}

static void test_replayed_with_a_new_id(void **state)
{
    (void)state;
    struct dead_letter_brief *letter = put_letter("id_conflict", "persist", "replayed");
    letter->replayed = true;
    assert_int_equal(order_id_parse(OTHER_ID, 36, &letter->replayed_as), 0);
    put_row();
    get();
    assert_status("stored", AT,
                  "\"stored\":true,\"searchable\":false,\"dead_letters\":[" LETTER(
                      "9", "id_conflict", "persist", "replayed", "\"" OTHER_ID "\"") "]");
}

static void test_which_letters_are_a_death(void **state)
{
    (void)state;
    static const struct {
        const char *newer[3], *older[3]; /* reason, stage, state */
        const char *state;
    } cases[] = {
        {{"refused", "index", "dead"}, {NULL}, "dead"},
        {{"id_conflict", "persist", "dead"}, {NULL}, "accepted"},
        {{"malformed", "intake", "dead"}, {NULL}, "accepted"},
        {{"refused", "persist", "replayed"}, {NULL}, "accepted"}, /* on its way again */
        {{"refused", "persist", "discarded"}, {NULL}, "dead"},    /* nobody brings it back */
        {{"refused", "persist", "dead"}, {"refused", "persist", "replayed"}, "dead"},
        {{"refused", "persist", "replayed"}, {"refused", "persist", "dead"}, "dead"},
        {{"refused", "persist", "replayed"}, {"refused", "persist", "discarded"}, "accepted"},
        {{"refused", "persist", "discarded"}, {"refused", "persist", "replayed"}, "dead"},
        {{"id_conflict", "persist", "discarded"}, {"refused", "persist", "replayed"}, "accepted"},
        {{"id_conflict", "persist", "dead"}, {"refused", "persist", "dead"}, "dead"},
    };
    put_entry();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fakes->letter_count = 0;
        put_letter(cases[i].newer[0], cases[i].newer[1], cases[i].newer[2]);
        if (cases[i].older[0] != NULL)
            put_letter(cases[i].older[0], cases[i].older[1], cases[i].older[2]);
        char wanted[64];
        snprintf(wanted, sizeof(wanted), "\"state\":\"%s\"", cases[i].state);
        get();
        if (strstr(reply.body, wanted) == NULL)
            fail_msg("case %zu: %s", i, reply.body);
    }
}

static void test_what_cannot_be_asked_is_null(void **state)
{
    (void)state;
    static const enum fake_mode modes[] = {FAKE_REFUSES, FAKE_FAILS};
    for (size_t i = 0; i < 2; i++) {
        reset_archived(state);
        put_entry();
        put_row();
        fakes->store_status = ORDER_STORE_FAILED;

        fakes->document_mode = modes[i];
        get();
        assert_status("stored", AT, "\"stored\":true,\"searchable\":null,\"dead_letters\":[]");
        fakes->document_mode = FAKE_WORKS;
        fakes->fate_mode = modes[i];
        get();
        assert_status("accepted", AT, "\"stored\":null,\"searchable\":false,\"dead_letters\":null");
        fakes->fate_mode = FAKE_WORKS;
        fakes->cache_mode = modes[i];
        get();
        assert_status("stored", AT, "\"stored\":true,\"searchable\":false,\"dead_letters\":[]");
        fakes->cache_mode = FAKE_WORKS;
        fakes->archived = false;
        put_letter("refused", "persist", "dead");
        get();
        assert_status("stored", AT, "\"stored\":true,\"searchable\":false,\"dead_letters\":null");
    }
}

static void test_who_has_to_be_asked(void **state)
{
    (void)state;
    fakes->cache_mode = FAKE_FAILS;
    get(); /* the cache may know it */
    assert_problem(&reply, 503, "order_state_unknown");
    put_letter("refused", "persist", "replayed");
    get();
    assert_status("accepted", NULL,
                  "\"stored\":false,\"searchable\":false,\"dead_letters\":[" LETTER(
                      "9", "refused", "persist", "replayed", "null") "]");
    fakes->fate_mode = FAKE_FAILS;
    fakes->store_status = ORDER_STORE_UNAVAILABLE;
    get();
    assert_problem(&reply, 503, "order_state_unknown");
    fakes->cache_mode = FAKE_WORKS; /* it does not know it, and the store may */
    get();
    assert_problem(&reply, 503, "order_state_unknown");
    fakes->fate_mode = FAKE_WORKS;
    fakes->letter_count = 0;
    fakes->document_mode = FAKE_FAILS; /* without a row there is no document */
    get();
    assert_problem(&reply, 404, "order_not_found");
    put_letter("refused", "persist", "dead");
    get();
    assert_status("dead", NULL,
                  "\"stored\":false,\"searchable\":null,\"dead_letters\":[" LETTER(
                      "9", "refused", "persist", "dead", "null") "]");
    put_row(); /* there may be a document by now */
    get();
    assert_non_null(strstr(reply.body, "\"state\":\"stored\""));
}

static void test_a_foreign_entry_counts_for_nothing(void **state)
{
    (void)state;
    put_entry();
    fakes->entries[0].json_len = 7;
    get();
    assert_problem(&reply, 404, "order_not_found");
}

static void test_a_text_that_is_no_text(void **state)
{
    (void)state;
    put_letter("\xff", "persist", "dead");
    get();
    assert_non_null(strstr(reply.body, "\"reason\":null"));
}

/* A source that is silent costs its second. */
static void test_a_silent_source(void **state)
{
    (void)state;
    char byte;
    put_entry();
    put_row();
    fakes->fate_mode = FAKE_SLOW;
    fakes->store_status = ORDER_STORE_UNAVAILABLE;
    int fd = http_send(fixture, "GET", PATH, "", NULL);
    wait_until(strstr(fakes->calls, "fate get ") != NULL, usleep(1000));
    test_clock_advance(999);
    for (int i = 0; i < 2; i++) /* what is answered in a later turn came after it */
        http_request(fixture, "GET", "/livez", "", NULL, &reply);
    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    test_clock_advance(101);
    http_read_reply(fd, false, &reply);
    close(fd);
    assert_status("accepted", AT, "\"stored\":null,\"searchable\":false,\"dead_letters\":null");
    test_clock_advance(6000); /* its answer comes, to nobody */
}

static void test_head(void **state)
{
    (void)state;
    put_entry();
    http_request(fixture, "HEAD", PATH, "", NULL, &reply);
    assert_int_equal(reply.status, 200);
    assert_int_equal(reply.body_len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_the_way_of_an_order, reset_archived),
        cmocka_unit_test_setup(test_nobody_knows_it, reset_archived),
        cmocka_unit_test_setup(test_dead, reset_archived),
        cmocka_unit_test_setup(test_replayed_with_a_new_id, reset_archived),
        cmocka_unit_test_setup(test_which_letters_are_a_death, reset_archived),
        cmocka_unit_test_setup(test_what_cannot_be_asked_is_null, reset_archived),
        cmocka_unit_test_setup(test_who_has_to_be_asked, reset_archived),
        cmocka_unit_test_setup(test_a_foreign_entry_counts_for_nothing, reset_archived),
        cmocka_unit_test_setup(test_a_text_that_is_no_text, reset_archived),
        cmocka_unit_test_setup(test_a_silent_source, reset_archived),
        cmocka_unit_test_setup(test_head, reset_archived),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
