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

void test_runner_lengthen_leases(struct fixture *fixture)
{
    execute(fixture,
            "CREATE OR REPLACE FUNCTION long_lease() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN NEW.lease := NEW.lease + interval ''1 h''; RETURN NEW; END';"
            "CREATE OR REPLACE TRIGGER long_lease BEFORE UPDATE OF lease ON jobs FOR EACH ROW"
            " WHEN (NEW.lease > now()) EXECUTE FUNCTION long_lease()");
}
