/* Text for people, safe for their terminals. */
#include "services/orderctl/output.h"
#include "proto/timestamp.h"
#include "proto/utf8.h"
#include "services/base/json_text.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void output_tone(FILE *stream, enum tone tone)
{
    static const char *const codes[] = {
        [TONE_PLAIN] = "\033[0m", [TONE_GOOD] = "\033[32m",  [TONE_BAD] = "\033[31m",
        [TONE_FAINT] = "\033[2m", [TONE_STRONG] = "\033[1m",
    };
    const char *off = getenv("NO_COLOR");
    if (isatty(fileno(stream)) && (off == NULL || off[0] == '\0'))
        fputs(codes[tone], stream);
}

/* The text, and how many characters it takes. */
static size_t put_character(FILE *stream, const char *bytes, size_t len, size_t *ret_len)
{
    uint32_t character = utf8_decode(bytes, len, ret_len);
    if (character == UTF8_INVALID)
        return (size_t)fprintf(stream, "\\x%02x", (unsigned char)*bytes);
    if (json_text_disturbs(character))
        return (size_t)fprintf(stream, "\\u%04" PRIx32, character);
    (void)fwrite(bytes, 1, *ret_len, stream);
    return 1;
}

void output_bytes(FILE *stream, const char *bytes, size_t len)
{
    for (size_t i = 0, step; i < len; i += step)
        (void)put_character(stream, bytes + i, len - i, &step);
}

void output_text(FILE *stream, const char *text)
{
    output_bytes(stream, text, strlen(text));
}

void output_lines(FILE *stream, const char *indent, const char *bytes, size_t len)
{
    bool begins = true;
    for (size_t i = 0, step; i < len; i += step) {
        if (begins)
            fputs(indent, stream);
        begins = bytes[i] == '\n';
        step = 1;
        if (bytes[i] == '\n' || bytes[i] == '\t')
            fputc(bytes[i], stream);
        else
            (void)put_character(stream, bytes + i, len - i, &step);
    }
    if (!begins)
        fputc('\n', stream);
}

void output_column(FILE *stream, const char *text, size_t width)
{
    size_t len = strlen(text), used = 0, i = 0, step;
    /* An escape may pass the width by a few characters; it is never cut. */
    for (; i < len && used < width; i += step) {
        (void)utf8_decode(text + i, len - i, &step);
        if (used + 1 == width && i + step < len) {
            fputs("…", stream);
            return;
        }
        used += put_character(stream, text + i, len - i, &step);
    }
    for (; used < width; used++)
        fputc(' ', stream);
}

/* jansson leaves DEL as it is. */
static int put_json(const char *bytes, size_t len, void *arg)
{
    FILE *stream = arg;
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == 0x7f)
            fputs("\\u007f", stream);
        else
            fputc(bytes[i], stream);
    }
    return 0;
}

void output_json(FILE *stream, const json_t *json, size_t flags)
{
    if (json_dump_callback(json, put_json, stream,
                           JSON_ENSURE_ASCII | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15) | flags) !=
        0)
        abort();
    fputc('\n', stream);
}

size_t output_width(FILE *stream)
{
    struct winsize size;
    int fd = fileno(stream);
    return isatty(fd) && ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void duration_words(int64_t seconds, char text[TIME_WORDS_SIZE])
{
    if (seconds < 60)
        (void)snprintf(text, TIME_WORDS_SIZE, "%" PRId64 " s", seconds);
    else if (seconds < 3600)
        (void)snprintf(text, TIME_WORDS_SIZE, "%" PRId64 " min", seconds / 60);
    else if (seconds < INT64_C(48) * 3600)
        (void)snprintf(text, TIME_WORDS_SIZE, "%" PRId64 " h", seconds / 3600);
    else
        (void)snprintf(text, TIME_WORDS_SIZE, "%" PRId64 " days", seconds / 86400);
}

void time_words(int64_t then_us, int64_t now_us, char text[TIME_WORDS_SIZE])
{
    int64_t seconds = (now_us - then_us) / 1000000;
    char duration[TIME_WORDS_SIZE];
    duration_words(seconds < 0 ? -seconds : seconds, duration);
    if (seconds == 0)
        (void)snprintf(text, TIME_WORDS_SIZE, "just now");
    else if (seconds > 0)
        (void)snprintf(text, TIME_WORDS_SIZE, "%.32s ago", duration);
    else
        (void)snprintf(text, TIME_WORDS_SIZE, "in %.32s", duration);
}

void output_time(FILE *stream, const char *timestamp)
{
    int64_t then_us;
    char words[TIME_WORDS_SIZE], utc[TIMESTAMP_TEXT_SIZE];
    if (timestamp == NULL) {
        fputs("never", stream);
    } else if (timestamp_parse(timestamp, strlen(timestamp), &then_us) != 0) {
        output_text(stream, timestamp);
    } else {
        time_words(then_us, timestamp_now_us(), words);
        (void)timestamp_format(then_us - (then_us % 1000000 + 1000000) % 1000000, utc);
        fprintf(stream, "%s (%s)", words, utc);
    }
}

void output_field(const char *label, const char *text)
{
    if (text == NULL)
        return;
    printf("  %-12s ", label);
    output_text(stdout, text);
    fputc('\n', stdout);
}

void output_time_field(const char *label, const char *timestamp)
{
    if (timestamp == NULL)
        return;
    printf("  %-12s ", label);
    output_time(stdout, timestamp);
    fputc('\n', stdout);
}
