#include "services/bridge/settings.h"
#include "services/base/endpoint.h"
#include "services/clients/rabbitmq/options.h"
#include "services/clients/rabbitmq/queue_declaration.h"
#include "services/runtime/options.h"

const struct config_option bridge_options[] = {
    CONFIG_OPTION_RABBITMQ_URL(struct bridge_settings, rabbitmq_url),
    CONFIG_OPTION_RABBITMQ_CA_FILE(struct bridge_settings, rabbitmq_ca_file),
    CONFIG_OPTION_ORDER_QUEUE(struct bridge_settings, order_queue),
    CONFIG_OPTION_ORDER_QUEUE_TYPE(struct bridge_settings, order_queue_type),
    {
        .name = "ORDER_PREFETCH",
        .default_text = "4000",
        .help = "orders in flight at most: taken from the queue and not acked",
        .kind = CONFIG_INTEGER,
        .offset = offsetof(struct bridge_settings, prefetch),
        .minimum = 1,
        .maximum = 65535, /* AMQP's prefetch-count is a short */
    },
    {
        .name = "BRIDGE_BIND",
        .default_text = "tcp://*:7100",
        .help = "where workers connect: tcp://address:port (also uses " STAGE_MORE_PORTS
                ") or ipc://path",
        .kind = CONFIG_STRING,
        .offset = offsetof(struct bridge_settings, bind),
        .validate = bridge_endpoint_validate,
    },
    CONFIG_OPTION_ADMIN_ADDRESS(struct bridge_settings, admin_address),
    CONFIG_OPTION_ADMIN_PORT(struct bridge_settings, admin_port, "9101"),
};
const size_t bridge_option_count = sizeof bridge_options / sizeof bridge_options[0];
