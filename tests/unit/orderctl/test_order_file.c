#include "services/orderctl/order_file.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct reading {
    FILE *stream;
    struct order_file *file;
    struct order_line line;
};

static struct reading begin(const char *text, size_t len, enum order_file_format format, int good)
{
    struct reading reading = {.stream = fmemopen((void *)(uintptr_t)text, len, "r")};
    struct error err;
    assert_non_null(reading.stream);
    reading.file = order_file_new(reading.stream, format);
    assert_int_equal(order_file_begin(reading.file, &err), good ? 0 : -1);
    return reading;
}

static void end(struct reading *reading)
{
    order_line_release(&reading->line);
    order_file_free(reading->file);
    assert_int_equal(fclose(reading->stream), 0);
}

static int next(struct reading *reading)
{
    struct error err;
    order_line_release(&reading->line);
    return order_file_next(reading->file, &reading->line, &err);
}

static void test_ndjson(void **state)
{
    (void)state;
    static const char text[] = "\xEF\xBB\xBF{\"a\":1}\r\n"
                               "\n"
                               "  \n"
                               "# refused, line 7: because\n"
                               "no JSON \"\n"
                               "{}";
    struct reading reading = begin(text, sizeof(text) - 1, ORDER_FILE_NDJSON, 1);
    assert_int_equal(next(&reading), 1);
    assert_string_equal(reading.line.body, "{\"a\":1}");
    assert_int_equal(reading.line.number, 1);
    assert_int_equal(next(&reading), 1);
    assert_string_equal(reading.line.body, "no JSON \"");
    assert_int_equal(reading.line.number, 5);
    assert_int_equal(next(&reading), 1);
    assert_string_equal(reading.line.body, "{}");
    assert_int_equal(reading.line.number, 6);
    assert_int_equal(next(&reading), 0);
    assert_int_equal(order_file_bytes(reading.file), sizeof(text) - 1);
    end(&reading);
}

static void test_csv(void **state)
{
    (void)state;
    /* Each is one record behind the header product_name,amount. */
    static const struct {
        const char *record, *body; /* NULL: no order */
    } cases[] = {
        {"Laptop,1299.99", "{\"product_name\":\"Laptop\",\"amount\":1299.99}"},
        {"Laptop,1299.99\r", "{\"product_name\":\"Laptop\",\"amount\":1299.99}"},
        {"Laptop, 5 ", "{\"product_name\":\"Laptop\",\"amount\":5}"},
        {"\"a, b\",0.01", "{\"product_name\":\"a, b\",\"amount\":0.01}"},
        {"\"19\"\" screen\",1", "{\"product_name\":\"19\\\" screen\",\"amount\":1}"},
        {"\"two\nlines\",\"7\"", "{\"product_name\":\"two\\u000alines\",\"amount\":7}"},
        {"\\,1e3", "{\"product_name\":\"\\\\\",\"amount\":1e3}"},
        {",1", "{\"product_name\":\"\",\"amount\":1}"}, /* the gateway's to refuse */
        {"\"\",-0.5", "{\"product_name\":\"\",\"amount\":-0.5}"},
        {"12345678901234567890,9999999999.99",
         "{\"product_name\":\"12345678901234567890\",\"amount\":9999999999.99}"},
        {"Laptop", NULL},
        {"Laptop,1,2", NULL},
        {"a,b,c,d,e,f,g,h,i", NULL},
        {"Laptop,", NULL},
        {"Laptop,1.", NULL},
        {"Laptop,.5", NULL},
        {"Laptop,01", NULL},
        {"Laptop,+1", NULL},
        {"Laptop,1e", NULL},
        {"Laptop,NaN", NULL},
        {"Laptop,1}", NULL},
        {"Laptop,\"1,299.99\"", NULL},
        {"Laptop,99999999999999999999999999999999999999999999999999999999999999999999", NULL},
        {"\"Laptop,1", NULL},
        {"\"Laptop\"x,1", NULL},
        {"Lap\"top,1\"", NULL},
        {"\xff,1", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[256];
        int len = snprintf(text, sizeof(text), "product_name,amount\n%s\n", cases[i].record);
        struct reading reading = begin(text, (size_t)len, ORDER_FILE_CSV, 1);
        assert_int_equal(next(&reading), 1);
        assert_int_equal(reading.line.number, 2);
        if ((reading.line.body != NULL) != (cases[i].body != NULL))
            fail_msg("%s: %s", cases[i].record, reading.line.reason.message);
        if (reading.line.body != NULL) {
            assert_string_equal(reading.line.body, cases[i].body);
            assert_int_equal(reading.line.body_len, strlen(cases[i].body));
        } else {
            assert_true(reading.line.reason.message[0] != '\0');
        }
        assert_int_equal(next(&reading), 0);
        end(&reading);
    }
}

static void test_headers(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        int good;
    } cases[] = {
        {"product_name,amount\n", 1},
        {"amount,\"product_name\"\r\n", 1},
        {"\xEF\xBB\xBFproduct_name,amount", 1},
        {"# refused, line 3: a word\n\nproduct_name,amount\n", 1},
        {"product_name\n", 0},
        {"product_name,amount,id\n", 0},
        {"product_name,product_name\n", 0},
        {"product_name;amount\n", 0},
        {"Laptop,1\n", 0},
        {"\n", 0},
        {"\"product_name,amount\n", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct reading reading =
            begin(cases[i].header, strlen(cases[i].header), ORDER_FILE_CSV, cases[i].good);
        end(&reading);
    }
    struct reading reading = begin("amount,product_name\n5,Cable\n", 28, ORDER_FILE_CSV, 1);
    assert_int_equal(next(&reading), 1);
    assert_string_equal(reading.line.body, "{\"product_name\":\"Cable\",\"amount\":5}");
    end(&reading);
}

/* The next record is found behind it, also behind a quote that does not end. */
static void test_a_record_that_is_too_long(void **state)
{
    (void)state;
    for (int format = ORDER_FILE_NDJSON; format <= ORDER_FILE_CSV; format++) {
        char *text;
        size_t len;
        FILE *stream = open_memstream(&text, &len);
        assert_non_null(stream);
        fputs("product_name,amount\n\"", stream);
        for (int i = 0; i < ORDER_FILE_RECORD_MAX; i++)
            fputc('x', stream);
        fputs("\nLaptop,1\n", stream);
        assert_int_equal(fclose(stream), 0);
        struct reading reading = begin(text, len, (enum order_file_format)format, 1);
        if (format == ORDER_FILE_NDJSON)
            assert_int_equal(next(&reading), 1);
        assert_int_equal(next(&reading), 1);
        assert_null(reading.line.body);
        assert_int_equal(reading.line.raw_len, ORDER_FILE_RECORD_MAX);
        assert_int_equal(next(&reading), 1);
        assert_string_equal(reading.line.raw, "Laptop,1");
        assert_int_equal(reading.line.number, 3);
        end(&reading);
        free(text);
    }
}

static void key_of(const char *body, uint64_t number, const char *batch,
                   char key[ORDER_LINE_KEY_SIZE])
{
    struct order_line line = {
        .number = number, .body = (char *)(uintptr_t)body, .body_len = strlen(body)};
    order_line_key(&line, batch, key);
}

static void test_keys(void **state)
{
    (void)state;
    char first[ORDER_LINE_KEY_SIZE], other[ORDER_LINE_KEY_SIZE];
    key_of("{}", 1, "a.csv", first);
    /* For ever: a file may be submitted again by a later version. */
    assert_string_equal(
        first, "orderctl-9ea310491a1f8f1ef70b1e550bb4d40a53d73ea12c34eb18a2bd14b8715d3567");
    key_of("{}", 1, "a.csv", other);
    assert_string_equal(first, other);
    key_of("{}", 2, "a.csv", other);
    assert_string_not_equal(first, other);
    key_of("{ }", 1, "a.csv", other);
    assert_string_not_equal(first, other);
    key_of("{}", 1, "b.csv", other);
    assert_string_not_equal(first, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ndjson),  cmocka_unit_test(test_csv),
        cmocka_unit_test(test_headers), cmocka_unit_test(test_a_record_that_is_too_long),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
