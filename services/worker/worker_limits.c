/* Two sockets for each bridge, and two batches, each also as a statement or as a request. */
#include "services/worker/worker_limits.h"
#include "services/runtime/admin_server.h"
#include "services/runtime/service.h"

#define BRIDGE_DESCRIPTORS 16
#define ORDER_BYTES 4096

struct limits_wanted worker_limits(const char *bridge_endpoints, int64_t batch,
                                   const char *variable)
{
    uint64_t bridges = 1;
    for (const char *c = bridge_endpoints; *c != '\0'; c++)
        bridges += *c == ',';
    return (struct limits_wanted){
        .descriptors = 32 + ADMIN_SERVER_CONNECTIONS_MAX + bridges * BRIDGE_DESCRIPTORS,
        .descriptors_for = "BRIDGE_ENDPOINTS, the store and the admin port",
        .memory_bytes = SERVICE_MEMORY_BYTES + 4 * (uint64_t)batch * ORDER_BYTES,
        .threads = 4,
        .memory_for = variable,
    };
}
