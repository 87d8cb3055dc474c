/* Everything of clients/rabbitmq that needs a broker, against a real one. */
#include "tests/unit/clients/rabbitmq/test_broker.h"
#include "tests/unit/clients/rabbitmq/rabbitmq_server.h"

int main(void)
{
    rabbitmq_server_start();
    int failed = run_connection_tests() + run_queue_declaration_tests() + run_link_tests() +
                 run_publisher_tests();
    rabbitmq_server_stop();
    return failed;
}
