/* A message's properties and the tables in them (AMQP 0-9-1, 4.2.5 and 4.2.6.1, with the field
 * types of RabbitMQ), read where they stand: no copies, and no depth, so nothing in them can be too
 * much. Without librabbitmq. */
#ifndef CLIENTS_RABBITMQ_MESSAGE_FIELDS_H
#define CLIENTS_RABBITMQ_MESSAGE_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of somebody else's; none of these texts ends in a NUL. NULL: it is not there. */
struct message_text {
    const char *bytes;
    size_t len;
};

/* The fields of a table that are not read yet. */
struct field_table {
    const unsigned char *bytes;
    size_t len;
};

struct field {
    struct message_text name;
    char type;                  /* 'S' text, 'F' table, 'A' array, 'l' int64, … */
    const unsigned char *value; /* without the length that texts, tables and arrays begin with */
    size_t len;
};

struct message_properties {
    struct message_text content_type, content_encoding, correlation_id, reply_to, expiration,
        message_id, type, user_id, app_id, cluster_id;
    struct field_table headers;  /* bytes NULL: it has none */
    int delivery_mode, priority; /* -1: it has none */
    bool has_timestamp;
    uint64_t timestamp; /* seconds since 1970, they say */
};

/* Returns 0, or -1 when the bytes are no properties; then *ret has what stands before the fault. */
int message_properties_read(const void *bytes, size_t len, struct message_properties *ret)
    __attribute__((warn_unused_result));

/* Take the next field of a table, or the next value of an array (which has no name). Returns 1, or
 * 0 at the end, or -1 when what follows is no field. */
int field_table_next(struct field_table *table, struct field *ret)
    __attribute__((warn_unused_result));
int field_array_next(struct field_table *array, struct field *ret)
    __attribute__((warn_unused_result));

/* The first field of this name. The table is left as it is. */
bool field_table_find(struct field_table table, const char *name, struct field *ret)
    __attribute__((warn_unused_result));

bool message_text_is(struct message_text text, const char *other);

/* What a field holds. Another type: false, an empty table, or a text that is not there. */
bool field_integer(const struct field *field, int64_t *ret) __attribute__((warn_unused_result));
bool field_is_true(const struct field *field);
struct message_text field_text(const struct field *field);
struct field_table field_inner(const struct field *field); /* of a table or an array */

#endif
