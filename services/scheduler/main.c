#include "services/runtime/service.h"
#include "services/scheduler/scheduler.h"
#include "services/scheduler/settings.h"

int main(int argc, char **argv)
{
    static struct scheduler_settings settings;
    const struct service service = {
        .name = "scheduler",
        .summary = "refreshes the daily sales, by schedule and on request",
        .options = scheduler_options,
        .option_count = scheduler_option_count,
        .settings = &settings,
        .probes = scheduler_probes,
        .validate = scheduler_validate,
        .run = scheduler_run,
        .admin_address = scheduler_admin_address,
    };
    return service_main(&service, argc, argv);
}
