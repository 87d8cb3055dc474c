/* A runner of jobs over the fixture's database, for tests of kinds. */
#ifndef TESTS_TEST_RUNNER_H
#define TESTS_TEST_RUNNER_H

#include "services/scheduler/job_runner.h"
#include "tests/unit/clients/postgres/fixture.h"

/* `kinds` outlive it. `on_stopped` (with NULL) or NULL. Not up yet. */
struct job_runner *test_runner_new(struct fixture *fixture, const struct job_kind *kinds,
                                   size_t kind_count, void (*on_stopped)(void *arg));

#endif
