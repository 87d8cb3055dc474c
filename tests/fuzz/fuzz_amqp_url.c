#include "services/clients/rabbitmq/amqp_url.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[2048];
    struct amqp_url_list list;
    struct error err;
    if (size >= sizeof(text))
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (amqp_url_list_parse(text, &list, &err) != 0)
        return 0;
    REQUIRE(list.count >= 1);
    for (unsigned i = 0; i < list.count; i++) {
        const struct amqp_url *url = &list.urls[i];
        REQUIRE(url->host[0] != '\0' && url->port != 0 && url->user[0] != '\0' &&
                url->vhost[0] != '\0');
        REQUIRE(strpbrk(url->host, " @/,%[]*$") == NULL);
    }
    amqp_url_list_release(&list);
    return 0;
}
