#include "services/gateway/gateway.h"
#include "services/gateway/settings.h"

int main(int argc, char **argv)
{
    static struct gateway_settings settings;
    const struct service service = {
        .name = "gateway",
        .summary = "takes orders over HTTP, and answers what has become of them",
        .options = gateway_options,
        .option_count = gateway_option_count,
        .settings = &settings,
        .probes = gateway_probes,
        .validate = gateway_validate,
        .run = gateway_run,
        .admin_address = gateway_address,
        .run_serves_admin = true,
    };
    return service_main(&service, argc, argv);
}
