/* A runner of jobs over the fixture's database, for tests of kinds. */
#ifndef TESTS_TEST_RUNNER_H
#define TESTS_TEST_RUNNER_H

#include "services/scheduler/job_runner.h"
#include "tests/unit/clients/postgres/fixture.h"

/* `kinds` outlive it. `on_stopped` (with NULL) or NULL. Not up yet. */
struct job_runner *test_runner_new(struct fixture *fixture, const struct job_kind *kinds,
                                   size_t kind_count, void (*on_stopped)(void *arg));

/* From now on a lease that is taken lasts an hour longer: the beat that renews leases is not a
 * runner's work. Call it when the runner is up, which has installed the schema. */
void test_runner_lengthen_leases(struct fixture *fixture);

#endif
