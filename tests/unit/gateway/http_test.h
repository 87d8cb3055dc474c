/* What every test program of a route has: one server with fakes behind it, and the last answer. */
#ifndef TESTS_GATEWAY_HTTP_TEST_H
#define TESTS_GATEWAY_HTTP_TEST_H

#include "tests/unit/gateway/http_fixture.h"

extern struct http_fixture *fixture;
extern struct fakes *fakes;
extern struct fake_letters *letters;
extern struct reply reply;

/* For cmocka: of the group, and (reset) before each test. */
int set_up(void **state);
int tear_down(void **state);
int reset(void **state);

#endif
