/* Encoding is by hand, straight into the caller's buffer: it is on the path of every order in three
 * services. So is decoding what was encoded here, and what most clients send; all other JSON is
 * jansson's, which is strict where it matters: duplicate members, NaN, bad UTF-8, lone surrogates,
 * \u0000, raw control characters, trailing bytes and more than 2048 levels of nesting are all
 * refused by json_loadb() with the flags below. Only the amount is read from its own characters,
 * because jansson makes a double of it. */
#include "proto/order_json.h"
#include "proto/amount.h"
#include "proto/json_span.h"
#include "proto/plain_request.h"
#include "proto/plain_text.h"
#include "proto/timestamp.h"
#include <jansson.h>
#include <string.h>

#define ORDER_MIN_CENTS 1       /* of a client's order */
#define BULK_ITEM_1_CENTS 10000 /* the prices of the original's two-item form */
#define BULK_ITEM_2_CENTS 5000

static char *write_literal(char *p, const char *literal, size_t len)
{
    memcpy(p, literal, len);
    return p + len;
}
#define WRITE(p, literal) write_literal((p), "" literal, sizeof(literal) - 1)

/* RFC 8259, section 7: only these must be escaped. */
static char *write_escaped(char *p, const char *text, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    size_t plain = plain_text_len(text, len);
    p = write_literal(p, text, plain);
    for (size_t i = plain; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            *p++ = '\\';
            *p++ = (char)c;
        } else if (c < 0x20) {
            p = WRITE(p, "\\u00");
            *p++ = hex[c >> 4];
            *p++ = hex[c & 15];
        } else {
            *p++ = (char)c;
        }
    }
    return p;
}

size_t order_to_json(const struct order *order, char json[ORDER_JSON_SIZE])
{
    char *p = WRITE(json, "{\"id\":\"");
    order_id_format(&order->id, p);
    p += ORDER_ID_TEXT_LEN;
    p = WRITE(p, "\",\"product_name\":\"");
    p = write_escaped(p, order->product_name, order->product_name_len);
    p = WRITE(p, "\",\"amount\":");
    p += amount_format(order->amount_cents, p);
    p = WRITE(p, ",\"created_at\":\"");
    p += timestamp_format(order->created_at_us, p);
    p = WRITE(p, "\"}");
    *p = '\0';
    return (size_t)(p - json);
}

static const char mark[] = "\xef\xbb\xbf"; /* U+FEFF, of the byte order */
#define MARK_LEN (sizeof mark - 1)

/* An integer of more than 64 bits is a number like any other, such as in a member that is ignored.
 */
#define DECODE_FLAGS (JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL)

/* The whole text as one object, or NULL with `err` set. jansson skips a NUL that follows a number
 * or a word, so a NUL is looked for first. jansson's own messages quote the text, which does not
 * belong into logs; hence only the place. */
static json_t *parse_object(const char *json, size_t len_bytes, struct error *err)
{
    if (len_bytes >= MARK_LEN && memcmp(json, mark, MARK_LEN) == 0) {
        error_set(err, "malformed JSON: it begins with a byte order mark");
        return NULL;
    }
    if (memchr(json, '\0', len_bytes) != NULL) {
        error_set(err, "malformed JSON: a NUL");
        return NULL;
    }
    json_error_t failure;
    json_t *root = json_loadb(json, len_bytes, DECODE_FLAGS, &failure);
    if (root == NULL) {
        bool duplicate = json_error_code(&failure) == json_error_duplicate_key;
        error_set(err, "%s at line %d, column %d",
                  duplicate ? "duplicate member" : "malformed JSON", failure.line, failure.column);
        return NULL;
    }
    if (!json_is_object(root)) {
        error_set(err, "not a JSON object");
        json_decref(root);
        return NULL;
    }
    return root;
}

/* The same for what a client sends, where a byte order mark is refused inside of strings too.
 * (jansson refuses it elsewhere. In the queue it may stand in a name: order_to_json() escapes no
 * U+FEFF.) */
static json_t *parse_request(const char *json, size_t len_bytes, struct error *err)
{
    json_t *root = parse_object(json, len_bytes, err);
    if (root == NULL || memmem(json, len_bytes, mark, MARK_LEN) == NULL)
        return root;
    error_set(err, "malformed JSON: a byte order mark within");
    json_decref(root);
    return NULL;
}

/* The text member `name` of `object`; its bytes are the object's. */
static enum decode_result read_text(const json_t *object, const char *name, const char **ret_text,
                                    size_t *ret_len, struct error *err)
{
    const json_t *member = json_object_get(object, name);
    if (!json_is_string(member)) {
        error_set(err, "%s is %s", name, member == NULL ? "missing" : "not a string");
        return DECODE_MALFORMED;
    }
    *ret_text = json_string_value(member);
    *ret_len = json_string_length(member);
    return DECODE_OK;
}

static enum decode_result read_name(const json_t *object, const char *member, struct order *order,
                                    struct error *err)
{
    const char *name;
    size_t len;
    enum decode_result result = read_text(object, member, &name, &len, err);
    if (result != DECODE_OK)
        return result;
    if (!order_name_valid(name, len)) {
        error_set(err, "%s is not 1 to %d characters without control characters", member,
                  ORDER_NAME_MAX_CHARS);
        return DECODE_UNACCEPTABLE;
    }
    order_set_name(order, name, len);
    return DECODE_OK;
}

static enum decode_result read_name_of_row(const json_t *object, struct order *order,
                                           struct error *err)
{
    const char *name;
    size_t len;
    enum decode_result result = read_text(object, "product_name", &name, &len, err);
    if (result != DECODE_OK)
        return result;
    if (len > ORDER_NAME_MAX_BYTES) {
        error_set(err, "product_name is longer than %d bytes", ORDER_NAME_MAX_BYTES);
        return DECODE_UNACCEPTABLE;
    }
    order_set_name(order, name, len);
    return DECODE_OK;
}

static enum decode_result read_amount(struct json_span object, int64_t min_cents,
                                      struct order *order, struct error *err)
{
    struct json_span amount = json_span_member(object, "amount");
    if (amount.len == 0 || strchr("-0123456789", *amount.text) == NULL) {
        error_set(err, "amount is %s", amount.len == 0 ? "missing" : "not a number");
        return DECODE_MALFORMED;
    }
    int64_t cents;
    if (amount_from_decimal(amount.text, amount.len, &cents) != 0 || cents < min_cents) {
        char lowest[AMOUNT_TEXT_SIZE], highest[AMOUNT_TEXT_SIZE];
        amount_format(min_cents, lowest);
        amount_format(AMOUNT_MAX_CENTS, highest);
        error_set(err, "amount is not a whole number of cents from %s to %s", lowest, highest);
        return DECODE_UNACCEPTABLE;
    }
    order->amount_cents = cents;
    return DECODE_OK;
}

/* `text` is what `object` was parsed from. */
static enum decode_result read_request(const json_t *object, struct json_span text,
                                       struct order *order, struct error *err)
{
    struct order read;
    enum decode_result result = read_name(object, "product_name", &read, err);
    if (result == DECODE_OK)
        result = read_amount(text, ORDER_MIN_CENTS, &read, err);
    if (result == DECODE_OK) {
        order_set_name(order, read.product_name, read.product_name_len);
        order->amount_cents = read.amount_cents;
    }
    return result;
}

/* At a tenth of the parser's cost. What is not valid is left to the parser, which says why. */
static bool read_plain_request(struct json_span text, struct order *ret_order)
{
    struct json_span name, amount;
    int64_t cents;
    if (!plain_request_read(text, &name, &amount) || !order_name_valid(name.text, name.len) ||
        memmem(name.text, name.len, mark, MARK_LEN) != NULL ||
        amount_from_decimal(amount.text, amount.len, &cents) != 0 || cents < ORDER_MIN_CENTS)
        return false;
    order_set_name(ret_order, name.text, name.len);
    ret_order->amount_cents = cents;
    return true;
}

enum decode_result order_request_from_json(const char *json, size_t len_bytes,
                                           struct order *ret_order, struct error *err)
{
    if (read_plain_request((struct json_span){json, len_bytes}, ret_order))
        return DECODE_OK;
    json_t *root = parse_request(json, len_bytes, err);
    if (root == NULL)
        return DECODE_MALFORMED;
    const struct json_span text = {json, len_bytes};
    enum decode_result result = read_request(root, text, ret_order, err);
    json_decref(root);
    return result;
}

static enum decode_result read_id(const json_t *object, struct order *order, struct error *err)
{
    const char *text;
    size_t len;
    enum decode_result result = read_text(object, "id", &text, &len, err);
    if (result == DECODE_OK && order_id_parse(text, len, &order->id) != 0) {
        error_set(err, "id is not a UUID");
        return DECODE_UNACCEPTABLE;
    }
    return result;
}

static enum decode_result read_created_at(const json_t *object, struct order *order,
                                          struct error *err)
{
    const char *text;
    size_t len;
    enum decode_result result = read_text(object, "created_at", &text, &len, err);
    if (result == DECODE_OK && timestamp_parse(text, len, &order->created_at_us) != 0) {
        error_set(err, "created_at is not an RFC 3339 time of the years 1 to 9999");
        return DECODE_UNACCEPTABLE;
    }
    return result;
}

/* The text between two literals, the first of which is at *p; moves past the second. */
static inline bool read_between(const char **p, const char *end, const char *before,
                                const char *after, const char **ret_text, size_t *ret_len)
{
    size_t before_len = strlen(before), after_len = strlen(after);
    if ((size_t)(end - *p) < before_len || memcmp(*p, before, before_len) != 0)
        return false;
    const char *text = *p + before_len;
    const char *found = text; /* a memmem() that is quick with short texts */
    while ((found = memchr(found, after[0], (size_t)(end - found))) != NULL &&
           ((size_t)(end - found) < after_len || memcmp(found, after, after_len) != 0))
        found++;
    if (found == NULL)
        return false;
    *ret_text = text;
    *ret_len = (size_t)(found - text);
    *p = found + after_len;
    return true;
}

/* Nearly all orders come as order_to_json() writes them, and are read so at an eighth of the
 * parser's cost. Whether this is one is not decided by reading with care, but by writing the order
 * again: the same bytes or nothing. A name with escapes is left to the parser. */
static bool read_canonical(const char *json, size_t len_bytes, struct order *ret_order)
{
    struct order order;
    const char *p = json, *const end = json + len_bytes;
    const char *id, *name, *amount, *created_at;
    size_t id_len, name_len, amount_len, created_at_len;
    if (len_bytes >= ORDER_JSON_SIZE || !read_between(&p, end, "{\"id\":\"", "\",", &id, &id_len) ||
        !read_between(&p, end, "\"product_name\":\"", "\",", &name, &name_len) ||
        !read_between(&p, end, "\"amount\":", ",", &amount, &amount_len) ||
        !read_between(&p, end, "\"created_at\":\"", "\"}", &created_at, &created_at_len))
        return false;
    if (order_id_parse(id, id_len, &order.id) != 0 || !order_name_valid(name, name_len) ||
        amount_from_decimal(amount, amount_len, &order.amount_cents) != 0 ||
        timestamp_parse(created_at, created_at_len, &order.created_at_us) != 0)
        return false;
    order_set_name(&order, name, name_len);
    char again[ORDER_JSON_SIZE];
    if (order_to_json(&order, again) != len_bytes || memcmp(again, json, len_bytes) != 0)
        return false;
    order_copy(ret_order, &order);
    return true;
}

static enum decode_result read_order(const char *json, size_t len_bytes, bool of_row,
                                     struct order *ret_order, struct error *err)
{
    if (read_canonical(json, len_bytes, ret_order))
        return DECODE_OK;
    json_t *root = parse_object(json, len_bytes, err);
    if (root == NULL)
        return DECODE_MALFORMED;
    struct order order;
    enum decode_result result = read_id(root, &order, err);
    if (result == DECODE_OK)
        result = of_row ? read_name_of_row(root, &order, err)
                        : read_name(root, "product_name", &order, err);
    if (result == DECODE_OK)
        result = read_amount((struct json_span){json, len_bytes}, -AMOUNT_MAX_CENTS, &order, err);
    if (result == DECODE_OK)
        result = read_created_at(root, &order, err);
    if (result == DECODE_OK)
        order_copy(ret_order, &order);
    json_decref(root);
    return result;
}

enum decode_result order_from_json(const char *json, size_t len_bytes, struct order *ret_order,
                                   struct error *err)
{
    return read_order(json, len_bytes, false, ret_order, err);
}

enum decode_result order_of_row_from_json(const char *json, size_t len_bytes,
                                          struct order *ret_order, struct error *err)
{
    return read_order(json, len_bytes, true, ret_order, err);
}

bool order_id_from_json(const char *json, size_t len_bytes, struct order_id *ret_id)
{
    struct order order;
    struct error err;
    json_t *root = parse_object(json, len_bytes, &err);
    bool read = root != NULL && read_id(root, &order, &err) == DECODE_OK;
    if (read)
        *ret_id = order.id;
    json_decref(root);
    return read;
}

static enum decode_result read_bulk_orders(const json_t *items, struct json_span text,
                                           struct order *orders, size_t *ret_count,
                                           struct error *err)
{
    size_t count = json_array_size(items);
    if (!json_is_array(items)) {
        error_set(err, "orders is not an array");
        return DECODE_MALFORMED;
    }
    if (count < 1 || count > ORDER_BULK_MAX_ITEMS) {
        error_set(err, "orders has %zu items, not 1 to %d", count, ORDER_BULK_MAX_ITEMS);
        return DECODE_UNACCEPTABLE;
    }
    for (size_t i = 0; i < count; i++) {
        struct error reason;
        struct json_span item_text = {"", 0};
        const json_t *item = json_array_get(items, i);
        (void)json_span_next(&text, &item_text); /* jansson has seen the item, so it is there */
        if (!json_is_object(item)) {
            error_set(err, "orders[%zu] is not an object", i);
            return DECODE_MALFORMED;
        }
        enum decode_result result = read_request(item, item_text, &orders[i], &reason);
        if (result != DECODE_OK) {
            error_set(err, "orders[%zu]: %.200s", i, reason.message);
            return result;
        }
    }
    *ret_count = count;
    return DECODE_OK;
}

static enum decode_result read_bulk_pair(const json_t *root, struct order *orders,
                                         size_t *ret_count, struct error *err)
{
    enum decode_result result = read_name(root, "item_1", &orders[0], err);
    if (result == DECODE_OK)
        result = read_name(root, "item_2", &orders[1], err);
    if (result != DECODE_OK)
        return result;
    orders[0].amount_cents = BULK_ITEM_1_CENTS;
    orders[1].amount_cents = BULK_ITEM_2_CENTS;
    *ret_count = 2;
    return DECODE_OK;
}

enum decode_result bulk_request_from_json(const char *json, size_t len_bytes,
                                          struct order ret_orders[ORDER_BULK_MAX_ITEMS],
                                          size_t *ret_count, struct error *err)
{
    json_t *root = parse_request(json, len_bytes, err);
    if (root == NULL)
        return DECODE_MALFORMED;
    const json_t *items = json_object_get(root, "orders");
    const struct json_span text = json_span_member((struct json_span){json, len_bytes}, "orders");
    enum decode_result result = items != NULL
                                    ? read_bulk_orders(items, text, ret_orders, ret_count, err)
                                    : read_bulk_pair(root, ret_orders, ret_count, err);
    json_decref(root);
    return result;
}
