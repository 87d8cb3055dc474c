/* Reading orders. A record is collected byte by byte into a buffer of fixed size; CSV's quotes
 * decide whether a line end belongs to it. CSV is then taken apart in place. */
#include "services/orderctl/order_file.h"
#include "proto/utf8.h"
#include "services/base/json_text.h"
#include "services/base/memory.h"
#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 8
static const char mark[] = "\xEF\xBB\xBF"; /* byte order mark */

enum column { COLUMN_NAME, COLUMN_AMOUNT };
static const char *const column_names[] = {"product_name", "amount"};
#define COLUMN_COUNT 2

struct order_file {
    FILE *stream;
    enum order_file_format format;
    uint64_t lines, bytes; /* read so far */
    char *header;          /* of CSV, as it stands */
    size_t header_len;
    size_t column_at[COLUMN_COUNT]; /* which field of a record it is */
    size_t len;                     /* of the record in hand */
    bool too_long;
    char record[ORDER_FILE_RECORD_MAX + 1];
};

struct field {
    char *text; /* in the record, its quotes resolved */
    size_t len;
};

void order_line_release(struct order_line *line)
{
    free(line->raw);
    free(line->body);
    *line = (struct order_line){0};
}

struct order_file *order_file_new(FILE *stream, enum order_file_format format)
{
    struct order_file *file = memory_new(sizeof(*file));
    file->stream = stream;
    file->format = format;
    return file;
}

void order_file_free(struct order_file *file)
{
    if (file != NULL)
        free(file->header);
    free(file);
}

uint64_t order_file_bytes(const struct order_file *file)
{
    return file->bytes;
}

const char *order_file_header(const struct order_file *file, size_t *ret_len)
{
    *ret_len = file->header_len;
    return file->header != NULL ? file->header : "";
}

/* Read one record without its line end. Returns 1, 0 at the end, or -1. A record that is too long
 * is read to the end of its line, whatever its quotes say, so that the next one is found. */
static int read_record(struct order_file *file, uint64_t *ret_number, struct error *err)
{
    bool quoted = false, any = false;
    int c;
    file->len = 0;
    file->too_long = false;
    *ret_number = file->lines + 1;
    while ((c = getc_unlocked(file->stream)) != EOF) {
        any = true;
        file->bytes++;
        if (c == '\n') {
            file->lines++;
            if (!quoted || file->too_long)
                break;
        }
        if (c == '"' && file->format == ORDER_FILE_CSV)
            quoted = !quoted;
        if (file->len < ORDER_FILE_RECORD_MAX)
            file->record[file->len++] = (char)c;
        else
            file->too_long = true;
    }
    if (ferror(file->stream)) {
        error_set(err, "cannot read it: %s", strerror(errno));
        return -1;
    }
    if (file->len > 0 && file->record[file->len - 1] == '\r')
        file->len--;
    if (*ret_number == 1 && file->len >= 3 && memcmp(file->record, mark, 3) == 0)
        memmove(file->record, file->record + 3, file->len -= 3);
    file->record[file->len] = '\0';
    return any ? 1 : 0;
}

/* Whether there is nothing to send in it. */
static bool is_blank(const struct order_file *file)
{
    return strspn(file->record, " \t") == file->len ||
           strncmp(file->record, ORDER_FILE_REMARK, strlen(ORDER_FILE_REMARK)) == 0;
}

/* CSV */

/* Resolve a field that begins with a quote at `*at`. Returns 0 and `*at` behind it, or -1. */
static int unquote(char *record, size_t len, size_t *at, struct field *field)
{
    size_t from = *at + 1, to = *at;
    field->text = record + to;
    while (from < len) {
        bool doubled = from + 1 < len && record[from] == '"' && record[from + 1] == '"';
        if (record[from] == '"' && !doubled) {
            field->len = (size_t)(record + to - field->text);
            *at = from + 1;
            return 0;
        }
        from += doubled;
        record[to++] = record[from++];
    }
    return -1;
}

/* Take a record apart. Returns the number of fields, or 0 with `err` set. */
static size_t split(char *record, size_t len, struct field fields[COLUMNS_MAX], struct error *err)
{
    size_t count = 0, at = 0;
    for (;; at++) {
        if (count == COLUMNS_MAX) {
            error_set(err, "it has more than %d fields", COLUMNS_MAX);
            return 0;
        }
        struct field *field = &fields[count++];
        if (at < len && record[at] == '"') {
            if (unquote(record, len, &at, field) != 0) {
                error_set(err, "a quoted field does not end");
                return 0;
            }
        } else {
            field->text = record + at;
            while (at < len && record[at] != ',' && record[at] != '"')
                at++;
            field->len = (size_t)(record + at - field->text);
        }
        if (at >= len)
            return count;
        if (record[at] != ',') {
            error_set(err, "a quote stands where none may be (RFC 4180)");
            return 0;
        }
    }
}

int order_file_begin(struct order_file *file, struct error *err)
{
    struct field fields[COLUMNS_MAX];
    bool found[COLUMN_COUNT] = {false};
    uint64_t number;
    int got;
    if (file->format != ORDER_FILE_CSV)
        return 0;
    do
        got = read_record(file, &number, err);
    while (got == 1 && is_blank(file));
    if (got < 0)
        return -1;
    file->header = memory_copy(file->record, file->len);
    file->header_len = file->len;
    size_t count = got == 1 ? split(file->record, file->len, fields, err) : 0;
    for (size_t i = 0; i < count; i++) {
        size_t column = 0;
        while (column < COLUMN_COUNT &&
               (strlen(column_names[column]) != fields[i].len ||
                memcmp(column_names[column], fields[i].text, fields[i].len) != 0))
            column++;
        if (column == COLUMN_COUNT || found[column]) {
            error_set(err,
                      "column %zu of its first line is strange: it must be product_name,amount",
                      i + 1);
            return -1;
        }
        found[column] = true;
        file->column_at[column] = i;
    }
    if (!found[COLUMN_NAME] || !found[COLUMN_AMOUNT]) {
        error_set(err, "its first line must be product_name,amount");
        return -1;
    }
    return 0;
}

/* A number as JSON writes it (RFC 8259, section 6). */
static bool is_number(const char *text, size_t len)
{
    size_t i = 0, begun;
    const char digits[] = "0123456789";
    char copy[64];
    if (len == 0 || len >= sizeof(copy))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (strlen(copy) != len)
        return false;
    i += copy[i] == '-';
    begun = i;
    i += strspn(copy + i, digits);
    if (i == begun || (copy[begun] == '0' && i > begun + 1))
        return false;
    if (copy[i] == '.') {
        begun = ++i;
        i += strspn(copy + i, digits);
        if (i == begun)
            return false;
    }
    if (copy[i] == 'e' || copy[i] == 'E') {
        i++;
        i += copy[i] == '-' || copy[i] == '+';
        begun = i;
        i += strspn(copy + i, digits);
        if (i == begun)
            return false;
    }
    return i == len;
}

static bool is_utf8(const struct field *field)
{
    for (size_t i = 0, step; i < field->len; i += step)
        if (utf8_decode(field->text + i, field->len - i, &step) == UTF8_INVALID)
            return false;
    return true;
}

/* The record as a request. It stays without a body when it is no order. */
static void from_csv(struct order_file *file, struct order_line *line)
{
    struct field fields[COLUMNS_MAX];
    size_t count = split(file->record, file->len, fields, &line->reason);
    if (count == 0)
        return;
    if (count != COLUMN_COUNT) {
        error_set(&line->reason, "it has %zu fields, the header has %d", count, COLUMN_COUNT);
        return;
    }
    const struct field *name = &fields[file->column_at[COLUMN_NAME]];
    struct field amount = fields[file->column_at[COLUMN_AMOUNT]];
    for (; amount.len > 0 && amount.text[0] == ' '; amount.text++)
        amount.len--;
    while (amount.len > 0 && amount.text[amount.len - 1] == ' ')
        amount.len--;
    if (!is_number(amount.text, amount.len)) {
        error_set(&line->reason, "the amount is not a number such as 1299.99");
    } else if (!is_utf8(name)) {
        error_set(&line->reason, "the product name is not UTF-8");
    } else {
        char *escaped = memory_take(JSON_TEXT_SIZE(name->len));
        (void)json_text_escape(name->text, name->len, escaped, JSON_TEXT_SIZE(name->len));
        int len = asprintf(&line->body, "{\"product_name\":\"%s\",\"amount\":%.*s}", escaped,
                           (int)amount.len, amount.text);
        if (len < 0)
            abort();
        line->body_len = (size_t)len;
        free(escaped);
    }
}

int order_file_next(struct order_file *file, struct order_line *ret_line, struct error *err)
{
    struct order_line line = {0};
    int got;
    do
        got = read_record(file, &line.number, err);
    while (got == 1 && !file->too_long && is_blank(file));
    if (got != 1)
        return got;
    line.raw = memory_copy(file->record, file->len);
    line.raw_len = file->len;
    if (file->too_long) {
        error_set(&line.reason, "it is longer than %d bytes", ORDER_FILE_RECORD_MAX);
    } else if (file->format == ORDER_FILE_CSV) {
        from_csv(file, &line);
    } else {
        line.body = memory_copy(file->record, file->len);
        line.body_len = file->len;
    }
    *ret_line = line;
    return 1;
}

void order_line_key(const struct order_line *line, const char *batch, char key[ORDER_LINE_KEY_SIZE])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    char place[24];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int place_len = snprintf(place, sizeof(place), "%llu", (unsigned long long)line->number);
    if (context == NULL || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1 ||
        EVP_DigestUpdate(context, batch, strlen(batch) + 1) != 1 ||
        EVP_DigestUpdate(context, place, (size_t)place_len + 1) != 1 ||
        EVP_DigestUpdate(context, line->body, line->body_len) != 1 ||
        EVP_DigestFinal_ex(context, digest, &digest_len) != 1)
        abort();
    EVP_MD_CTX_free(context);
    int len = snprintf(key, ORDER_LINE_KEY_SIZE, "orderctl-");
    for (unsigned i = 0; i < digest_len; i++)
        len += snprintf(key + len, ORDER_LINE_KEY_SIZE - (size_t)len, "%02x", digest[i]);
}
