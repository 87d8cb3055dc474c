/* Nobody listens to the state of its connection: job_runner_up() tells it. */
#include "tests/unit/scheduler/test_runner.h"

static void on_state(void *arg, bool up, const char *reason)
{
    (void)arg, (void)up, (void)reason;
}

struct job_runner *test_runner_new(struct fixture *fixture, const struct job_kind *kinds,
                                   size_t kind_count, void (*on_stopped)(void *arg))
{
    return job_runner_new(fixture->loop, &(struct job_runner_options){
                                             .dsn = fixture->dsn,
                                             .name = "runner under test",
                                             .kinds = kinds,
                                             .kind_count = kind_count,
                                             .on_state = on_state,
                                             .on_stopped = on_stopped,
                                         });
}
