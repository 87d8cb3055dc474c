#include "tests/unit/gateway/http_test.h"

struct http_fixture *fixture;
struct fakes *fakes;
struct reply reply;

int set_up(void **state)
{
    (void)state;
    fixture = http_fixture_new(100);
    fakes = http_fixture_fakes(fixture);
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    http_fixture_free(fixture);
    return 0;
}

int reset(void **state)
{
    (void)state;
    fakes_reset(fakes);
    return 0;
}
