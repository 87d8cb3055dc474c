/* What order_from_json() makes of amounts: test_amounts.py compares. Each line of the input is an
 * amount's text in hexadecimal; each of the output its cents, "unacceptable" or "malformed". */
#include "proto/order_json.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEFORE "{\"id\":\"0190163d-8694-739b-aea5-966c26f8ad91\",\"product_name\":\"x\",\"amount\":"
#define AFTER ",\"created_at\":\"2026-11-23T06:45:12Z\"}"

static void answer(const char *json, size_t len)
{
    struct order order;
    struct error err;
    switch (order_from_json(json, len, &order, &err)) {
    case DECODE_OK:
        (void)printf("%" PRId64 "\n", order.amount_cents);
        break;
    case DECODE_MALFORMED:
        (void)puts("malformed");
        break;
    case DECODE_UNACCEPTABLE:
        (void)puts("unacceptable");
        break;
    }
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    for (ssize_t len; (len = getline(&line, &room, stdin)) > 0;) {
        char *json = malloc(sizeof BEFORE + (size_t)len + sizeof AFTER);
        if (json == NULL)
            return EXIT_FAILURE;
        size_t json_len = sizeof BEFORE - 1;
        memcpy(json, BEFORE, json_len);
        unsigned byte;
        for (const char *p = line; sscanf(p, "%2x", &byte) == 1; p += 2)
            json[json_len++] = (char)byte;
        memcpy(json + json_len, AFTER, sizeof AFTER);
        answer(json, json_len + sizeof AFTER - 1);
        free(json);
    }
    free(line);
    return EXIT_SUCCESS;
}
