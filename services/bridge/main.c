#include "services/bridge/bridge.h"
#include "services/bridge/settings.h"
#include "services/runtime/service.h"

static const char *admin_address(const void *settings, uint16_t *ret_port)
{
    const struct bridge_settings *bridge = settings;
    *ret_port = (uint16_t)bridge->admin_port;
    return bridge->admin_address;
}

int main(int argc, char **argv)
{
    static struct bridge_settings settings;
    static const struct service_probe probes[] = {{"rabbitmq", bridge_reach_rabbitmq}, {0}};
    const struct service service = {
        .name = "bridge",
        .summary = "takes orders from RabbitMQ and has workers persist and index them",
        .options = bridge_options,
        .option_count = bridge_option_count,
        .settings = &settings,
        .probes = probes,
        .run = bridge_run,
        .admin_address = admin_address,
    };
    return service_main(&service, argc, argv);
}
