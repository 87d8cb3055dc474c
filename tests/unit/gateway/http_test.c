#include "tests/unit/gateway/http_test.h"

struct http_fixture *fixture;
struct fakes *fakes;
struct fake_letters *letters;
struct reply reply;

int set_up(void **state)
{
    (void)state;
    fixture = http_fixture_new(100);
    fakes = http_fixture_fakes(fixture);
    letters = http_fixture_letters(fixture);
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
    fake_letters_reset(letters);
    return 0;
}
