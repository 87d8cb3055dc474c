/* The table of the bridge's variables, and what --check tries. */
#include "services/bridge/settings.h"
#include "services/base/endpoint.h"
#include "services/bridge/bridge.h"
#include "services/bridge/intake.h"
#include "services/clients/rabbitmq/options.h"
#include "services/clients/rabbitmq/queue_declaration.h"
#include "services/runtime/admin_server.h"
#include "services/runtime/options.h"

#define ORDER_BYTES 4096 /* 1 to 2 KiB; a foreign message may take more */

static const struct config_option options[] = {
    CONFIG_OPTION_RABBITMQ_URL(struct bridge_settings, rabbitmq_url),
    CONFIG_OPTION_RABBITMQ_CA_FILE(struct bridge_settings, rabbitmq_ca_file),
    CONFIG_OPTION_ORDER_QUEUE(struct bridge_settings, order_queue),
    CONFIG_OPTION_ORDER_QUEUE_TYPE(struct bridge_settings, order_queue_type),
    CONFIG_OPTION("ORDER_PREFETCH", CONFIG_INTEGER, struct bridge_settings, prefetch,
                  .default_text = "8000",
                  .help = "orders in flight at most: taken from the queue and not acked",
                  .minimum = 1, .maximum = 65535 /* AMQP's prefetch-count is a short */),
    CONFIG_OPTION("BRIDGE_BIND", CONFIG_STRING, struct bridge_settings, bind,
                  .default_text = "tcp://127.0.0.1:7100",
                  .help = "where workers connect: tcp://address:port (also uses " STAGE_MORE_PORTS
                          ") or ipc://path",
                  .validate = bridge_endpoint_validate),
    CONFIG_OPTIONS_LINK(struct bridge_settings, link),
    CONFIG_OPTION_ADMIN_ADDRESS(struct bridge_settings, admin_address),
    CONFIG_OPTION_ADMIN_PORT(struct bridge_settings, admin_port, "9101"),
};

static int reach_rabbitmq(const void *arg, struct error *err)
{
    const struct bridge_settings *settings = arg;
    return broker_reach(&(struct broker_options){.url = settings->rabbitmq_url,
                                                 .ca_file = settings->rabbitmq_ca_file,
                                                 .name = "bridge check"},
                        err);
}

static int validate(const void *arg, struct error *err)
{
    const struct bridge_settings *settings = arg;
    return link_settings_check(&settings->link, "BRIDGE_BIND", settings->bind, err);
}

static struct limits_wanted wanted(const void *arg)
{
    const struct bridge_settings *settings = arg;
    return (struct limits_wanted){.descriptors = 64 + ADMIN_SERVER_CONNECTIONS_MAX,
                                  .descriptors_for = "RabbitMQ, the admin port and a few workers",
                                  .memory_bytes = SERVICE_MEMORY_BYTES + INTAKE_LARGE_BYTES +
                                                  (uint64_t)settings->prefetch * ORDER_BYTES,
                                  .threads = 5,
                                  .memory_for = "ORDER_PREFETCH"};
}

const struct service bridge_service = {
    .name = "bridge",
    .summary = "takes orders from RabbitMQ and has workers persist and index them",
    .options = options,
    .option_count = sizeof options / sizeof options[0],
    .settings = &(struct bridge_settings){0},
    .admin_address = offsetof(struct bridge_settings, admin_address),
    .admin_port = offsetof(struct bridge_settings, admin_port),
    .probes = (const struct service_probe[]){{"rabbitmq", reach_rabbitmq}, {0}},
    .validate = validate,
    .wanted = wanted,
    .run = bridge_run,
};
