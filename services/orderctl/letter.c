/* Dead letters, for people. Nothing in a letter can be trusted. */
#include "services/orderctl/letter.h"
#include "proto/timestamp.h"
#include "services/base/memory.h"
#include "services/orderctl/exit_code.h"
#include "services/orderctl/fields.h"
#include "services/orderctl/output.h"
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void letter_print_heading(void)
{
    output_tone(stdout, TONE_STRONG);
    printf("%-8s %-13s %-10s %-20s %-8s %-36s %s\n", "ID", "DIED", "STATE", "REASON", "STAGE",
           "ORDER", "DETAIL");
    output_tone(stdout, TONE_PLAIN);
}

static void print_age(const char *timestamp)
{
    int64_t us;
    char words[TIME_WORDS_SIZE] = "?";
    if (timestamp != NULL && timestamp_parse(timestamp, strlen(timestamp), &us) == 0)
        time_words(us, timestamp_now_us(), words);
    output_column(stdout, words, 13);
    fputc(' ', stdout);
}

static void print_column(const json_t *letter, const char *name, size_t width)
{
    const char *text = field_text(letter, name);
    output_column(stdout, text != NULL ? text : "-", width);
    fputc(' ', stdout);
}

void letter_print_row(const json_t *letter)
{
    size_t columns = output_width(stdout), used = 9 + 14 + 11 + 21 + 9 + 37;
    const char *detail = field_text(letter, "detail");
    printf("%-8lld ", field_number(letter, "id", 0));
    print_age(field_text(letter, "died_at"));
    print_column(letter, "state", 10);
    print_column(letter, "reason", 20);
    print_column(letter, "stage", 8);
    print_column(letter, "order_id", 36);
    if (detail != NULL) {
        if (columns == 0)
            output_text(stdout, detail);
        else if (columns > used + 10)
            output_column(stdout, detail, columns - used);
    }
    fputc('\n', stdout);
}

/* The body as bytes; free() it. NULL when there is none that can be read. */
static char *body_bytes(const json_t *letter, size_t *ret_len)
{
    const json_t *text = json_object_get(letter, "body"),
                 *base64 = json_object_get(letter, "body_base64");
    if (json_is_string(text)) {
        *ret_len = json_string_length(text);
        return memory_copy(json_string_value(text), *ret_len);
    }
    if (!json_is_string(base64))
        return NULL;
    size_t len = json_string_length(base64);
    const char *encoded = json_string_value(base64);
    unsigned char *bytes = memory_take(len / 4 * 3 + 4);
    int decoded = EVP_DecodeBlock(bytes, (const unsigned char *)encoded, (int)len);
    if (decoded < 0) {
        free(bytes);
        return NULL;
    }
    /* Padding is decoded to zeros. */
    for (size_t i = len; i > 0 && encoded[i - 1] == '=' && decoded > 0; i--)
        decoded--;
    *ret_len = (size_t)decoded;
    return (char *)bytes;
}

void letter_print(const json_t *letter)
{
    size_t body_len;
    char *body = body_bytes(letter, &body_len);
    output_tone(stdout, TONE_STRONG);
    printf("Dead letter %lld\n", field_number(letter, "id", 0));
    output_tone(stdout, TONE_PLAIN);
    output_field("state", field_text(letter, "state"));
    output_field("reason", field_text(letter, "reason"));
    output_field("detail", field_text(letter, "detail"));
    output_field("stage", field_text(letter, "stage"));
    output_field("order", field_text(letter, "order_id"));
    output_time_field("died", field_text(letter, "died_at"));
    output_time_field("archived", field_text(letter, "archived_at"));
    printf("  %-12s %lld\n", "attempts", field_number(letter, "attempts", 0));
    printf("  %-12s %lld\n", "copies", field_number(letter, "copies", 0));
    output_field("queue", field_text(letter, "queue"));
    output_field("trace", field_text(letter, "trace_id"));
    if (field_number(letter, "replay_of", 0) != 0)
        printf("  %-12s %lld\n", "replay of", field_number(letter, "replay_of", 0));
    output_time_field("ended", field_text(letter, "ended_at"));
    output_field("ended by", field_text(letter, "ended_by"));
    output_field("because", field_text(letter, "ended_reason"));
    output_field("replayed as", field_text(letter, "replayed_as"));
    if (field_number(letter, "job", 0) != 0)
        printf("  %-12s %lld\n", "job", field_number(letter, "job", 0));
    const json_t *properties = json_object_get(letter, "properties");
    if (properties != NULL) {
        fputs("\nProperties\n", stdout);
        output_json(stdout, properties, JSON_INDENT(2));
    }
    printf("\nBody, %lld bytes%s\n", field_number(letter, "body_bytes", 0),
           field_true(letter, "body_cut") ? ", of which the archive has the beginning" : "");
    if (body != NULL)
        output_lines(stdout, "  ", body, body_len);
    free(body);
}

int letter_print_body(const json_t *letter)
{
    size_t len;
    char *body = body_bytes(letter, &len);
    if (body == NULL) {
        fputs("orderctl: the letter has no body\n", stderr);
        return EXIT_NOT_UNDERSTOOD;
    }
    if (isatty(STDOUT_FILENO))
        output_lines(stdout, "", body, len);
    else
        (void)fwrite(body, 1, len, stdout);
    free(body);
    if (field_true(letter, "body_cut"))
        fputs("orderctl: the archive has only the beginning of the body\n", stderr);
    return EXIT_GOOD;
}
