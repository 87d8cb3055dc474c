#include "services/base/endpoint.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[1024];
    static struct host_port host_port;
    static struct bridge_endpoints endpoints;
    static struct endpoint_list list;
    struct error err;
    if (size >= sizeof(text))
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (host_port_parse(text, 1, &host_port, &err) == 0)
        REQUIRE(host_port.host[0] != '\0');
    if (bridge_endpoints_parse(text, &endpoints, &err) == 0)
        REQUIRE(strcmp(endpoints.jobs[STAGE_PERSIST], endpoints.jobs[STAGE_INDEX]) != 0 &&
                strcmp(endpoints.jobs[STAGE_INDEX], endpoints.reply) != 0);
    if (endpoint_list_parse(text, &list, &err) == 0)
        REQUIRE(list.count >= 1 && list.count <= ENDPOINT_LIST_MAX);
    return 0;
}
