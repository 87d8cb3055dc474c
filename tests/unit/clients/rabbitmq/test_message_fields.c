#include "services/clients/rabbitmq/message_fields.h"
#include "tests/unit/support/cmocka_headers.h"
#include <stdlib.h>
#include <string.h>

static struct field_table table(const char *bytes, size_t len)
{
    return (struct field_table){.bytes = (const unsigned char *)bytes, .len = len};
}
#define TABLE(literal) table(literal, sizeof(literal) - 1)

/* One value of each type: a text, a decimal, a table, an array, bytes, nothing, … */
#define ALL_TYPES                                                                                  \
    "\x01tt\x01"                                                                                   \
    "\x01"                                                                                         \
    "bb\xFF"                                                                                       \
    "\x01"                                                                                         \
    "BB\xFF"                                                                                       \
    "\x01ss\xFF\xFE"                                                                               \
    "\x01uu\xFF\xFE"                                                                               \
    "\x01II\xFF\xFF\xFF\xFD"                                                                       \
    "\x01ii\xFF\xFF\xFF\xFD"                                                                       \
    "\x01ll\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFC"                                                       \
    "\x01LL\x00\x00\x00\x00\x00\x00\x00\x07"                                                       \
    "\x01"                                                                                         \
    "ff\x00\x00\x00\x00"                                                                           \
    "\x01"                                                                                         \
    "dd\x00\x00\x00\x00\x00\x00\x00\x00"                                                           \
    "\x01"                                                                                         \
    "DD\x02\x00\x00\x04\xD2"                                                                       \
    "\x01TT\x00\x00\x00\x00\x65\x53\xF1\x00"                                                       \
    "\x01VV"                                                                                       \
    "\x01SS\x00\x00\x00\x02\xC3\x28"                                                               \
    "\x01xx\x00\x00\x00\x03\x00\x01\x02"                                                           \
    "\x01"                                                                                         \
    "AA\x00\x00\x00\x0CVS\x00\x00\x00\x01yF\x00\x00\x00\x00"                                       \
    "\x01"                                                                                         \
    "FF\x00\x00\x00\x06\x01kI\x00\x00\x00"                                                         \
    "\x01zt\x00"

static void test_every_type_is_stepped_over(void **state)
{
    (void)state;
    const struct {
        const char *name;
        int64_t number;
    } numbers[] = {{"b", -1},         {"B", 255}, {"s", -2}, {"u", 65534},     {"I", -3},
                   {"i", 4294967293}, {"l", -4},  {"L", 7},  {"T", 1700000000}};
    struct field field;
    for (size_t i = 0; i < COUNT(numbers); i++) {
        int64_t number = 0;
        assert_true(field_table_find(TABLE(ALL_TYPES), numbers[i].name, &field));
        assert_true(field_integer(&field, &number));
        assert_int_equal(number, numbers[i].number);
    }
    int64_t number = 0;
    assert_true(field_table_find(TABLE(ALL_TYPES), "S", &field));
    assert_int_equal(field_text(&field).len, 2);
    assert_false(field_integer(&field, &number));
    assert_null(field_inner(&field).bytes);
    assert_true(field_table_find(TABLE(ALL_TYPES), "t", &field) && field_is_true(&field));
    assert_null(field_text(&field).bytes);
    assert_true(field_table_find(TABLE(ALL_TYPES), "z", &field) && !field_is_true(&field));
    assert_false(field_table_find(TABLE(ALL_TYPES), "k", &field)); /* stands in an inner one */

    assert_true(field_table_find(TABLE(ALL_TYPES), "A", &field));
    struct field_table array = field_inner(&field);
    assert_int_equal(field_array_next(&array, &field), 1);
    assert_int_equal(field.type, 'V');
    assert_int_equal(field_array_next(&array, &field), 1);
    assert_true(message_text_is(field_text(&field), "y"));
    assert_int_equal(field_array_next(&array, &field), 1);
    assert_int_equal(field.type, 'F');
    assert_int_equal(field_array_next(&array, &field), 0);
}

/* Cut anywhere, and with any byte changed, a table ends in a fault or as one: never outside. */
static void test_what_is_broken_is_said(void **state)
{
    (void)state;
    const size_t len = sizeof ALL_TYPES - 1;
    for (size_t cut = 0; cut <= len; cut++) {
        char *copy = malloc(cut + 1);
        memcpy(copy, ALL_TYPES, cut);
        for (size_t i = 0; i <= cut; i++) {
            if (i < cut)
                copy[i] = (char)(copy[i] ^ 0xFF);
            struct field_table rest = table(copy, cut);
            struct field field;
            int more;
            while ((more = field_table_next(&rest, &field)) == 1)
                assert_true((const char *)field.value + field.len <= copy + cut);
            if (i == cut)
                break;
            copy[i] = (char)(copy[i] ^ 0xFF);
            if (cut == len)
                assert_true(more <= 0);
        }
        free(copy);
    }
    struct field field;
    struct field_table unknown = TABLE("\x01k?\x00"), endless = TABLE("\x01kS\xFF\xFF\xFF\xFFx");
    assert_int_equal(field_table_next(&unknown, &field), -1);
    assert_int_equal(field_table_next(&endless, &field), -1);
}

static void test_properties(void **state)
{
    (void)state;
    static const char all[] = "\xFF\xFC\x01"
                              "a\x01"
                              "b\x00\x00\x00\x04\x01kVx"
                              "\x02\x09\x01"
                              "c\x01"
                              "d\x01"
                              "e\x01"
                              "f\x00\x00\x00\x00\x65\x53\xF1\x00\x01"
                              "g\x01"
                              "h\x01"
                              "i\x01"
                              "j";
    struct message_properties properties;
    assert_int_equal(message_properties_read(all, sizeof all - 1, &properties), 0);
    assert_true(message_text_is(properties.content_type, "a"));
    assert_true(message_text_is(properties.content_encoding, "b"));
    assert_int_equal(properties.headers.len, 4);
    assert_int_equal(properties.delivery_mode, 2);
    assert_int_equal(properties.priority, 9);
    assert_true(message_text_is(properties.message_id, "f"));
    assert_true(properties.has_timestamp);
    assert_int_equal(properties.timestamp, 1700000000);
    assert_true(message_text_is(properties.cluster_id, "j"));
    for (size_t cut = 0; cut < sizeof all - 1; cut++) {
        char *copy = malloc(cut + 1);
        memcpy(copy, all, cut);
        assert_int_equal(message_properties_read(copy, cut, &properties), -1);
        free(copy);
    }
    assert_int_equal(message_properties_read("\0\1\0\0", 4, &properties), 0);
    assert_int_equal(message_properties_read("\0\0", 2, &properties), 0);
    assert_null(properties.headers.bytes);
    assert_int_equal(properties.priority, -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type_is_stepped_over),
        cmocka_unit_test(test_what_is_broken_is_said),
        cmocka_unit_test(test_properties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
