/* What is said of the sales ledger, and for how long. */
#include "proto/timestamp.h"
#include "services/runtime/health.h"
#include "services/scheduler/ledger_health.h"
#include "tests/unit/support/cmocka_headers.h"
#include <string.h>

#define NOW_US INT64_C(1795431600000000)
#define DAY_US LEDGER_HEALTH_TELLS_US

static void test_reasons(void **state)
{
    (void)state;
    static const struct {
        struct sales_ledger_look look;
        const char *reason; /* "": nothing is wrong */
    } cases[] = {
        {{.next = SALES_LEDGER_DONE}, ""},
        {{.next = SALES_LEDGER_CANNOT, .reason = "orders is no table"}, ""},
        {{.lost = 1}, "of its 4 triggers on orders, 1 is missing or disabled: "},
        {{.lost = 4, .drift_at_us = NOW_US, .drift_days = 1}, "of its 4 triggers on orders, 4 are"},
        {{.drift_at_us = NOW_US - 1, .drift_days = 1, .drift_orders = 1, .lost_at_us = NOW_US - 2},
         "it was wrong on 1 day, by 1 order, and was mended at 2026-11-23T"},
        {{.drift_at_us = NOW_US - DAY_US + 1, .drift_days = 2, .drift_orders = 0},
         "it was wrong on 2 days, by 0 orders, and was mended at 2026-11-22T"},
        {{.drift_at_us = NOW_US - DAY_US, .drift_days = 2, .drift_orders = 3}, ""},
        {{.lost_at_us = NOW_US - DAY_US + 1}, "triggers on orders were missing or disabled until "},
        {{.lost_at_us = NOW_US - DAY_US}, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct error reason = {""};
        assert_int_equal(ledger_health_wrong(&cases[i].look, NOW_US, &reason),
                         cases[i].reason[0] != '\0');
        assert_memory_equal(reason.message, cases[i].reason, strlen(cases[i].reason));
    }
}

static void test_degraded(void **state)
{
    (void)state;
    struct ledger_health *health = ledger_health_new();
    struct health_state seen;
    ledger_health_tell(health, &(struct sales_ledger_look){.next = SALES_LEDGER_FILL, .lost = 2});
    assert_true(health_look(0, &seen));
    assert_string_equal(seen.dependency, "sales_ledger");
    assert_int_equal(seen.weight, HEALTH_DEGRADED);
    assert_false(seen.up);
    assert_non_null(strstr(seen.reason, "2 are missing"));
    ledger_health_tell(health, &(struct sales_ledger_look){.drift_at_us = timestamp_now_us()});
    assert_true(health_look(0, &seen));
    assert_non_null(strstr(seen.reason, "was mended at"));
    ledger_health_tell(health, &(struct sales_ledger_look){.next = SALES_LEDGER_DONE});
    assert_true(health_look(0, &seen) && seen.up);
    ledger_health_free(health);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reasons),
                                       cmocka_unit_test(test_degraded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
