/* The first byte says whether the rest is CSV. Each record that is an order is JSON with its two
 * members; records are numbered upwards and bounded, and nothing is read twice. */
#include "services/orderctl/order_file.h"
#include "tests/fuzz/fuzz.h"
#include <jansson.h>
#include <string.h>

static void check_csv(const struct order_line *line)
{
    json_t *json = json_loadb(line->body, line->body_len, JSON_ALLOW_NUL, NULL);
    /* A number may be one that no double has. */
    if (json != NULL) {
        REQUIRE(json_object_size(json) == 2);
        REQUIRE(json_is_string(json_object_get(json, "product_name")));
        REQUIRE(json_is_number(json_object_get(json, "amount")));
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    enum order_file_format format = data[0] == 'c' ? ORDER_FILE_CSV : ORDER_FILE_NDJSON;
    FILE *stream = fmemopen((void *)(uintptr_t)(data + 1), size - 1, "r");
    REQUIRE(stream != NULL);
    struct order_file *file = order_file_new(stream, format);
    struct order_line line;
    struct error err;
    uint64_t before = 0;
    if (order_file_begin(file, &err) == 0) {
        while (order_file_next(file, &line, &err) == 1) {
            REQUIRE(line.number > before);
            REQUIRE(line.raw_len <= ORDER_FILE_RECORD_MAX);
            REQUIRE(line.body != NULL || line.reason.message[0] != '\0');
            REQUIRE(line.body == NULL || line.body[line.body_len] == '\0');
            if (line.body != NULL && format == ORDER_FILE_CSV)
                check_csv(&line);
            before = line.number;
            order_line_release(&line);
        }
        REQUIRE(order_file_bytes(file) == size - 1);
    }
    order_file_free(file);
    (void)fclose(stream);
    return 0;
}
