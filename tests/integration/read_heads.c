/* What request_head_read() makes of heads: test_request_heads.py compares. Each line of the input
 * is a head in hexadecimal. Each of the output is its fault or "unfinished", or else "fine", its
 * length, minor version, and in hexadecimal its method, its target and name=value of each field. */
#include "services/http/request_head.h"
#include <stdio.h>
#include <stdlib.h>

static void print_text(struct request_text text, char after)
{
    for (size_t i = 0; i < text.len; i++)
        (void)printf("%02x", (unsigned char)text.base[i]);
    (void)putchar(after);
}

static void answer(const char *bytes, size_t len)
{
    static const char *const faults[] = {
        [REQUEST_HEAD_MALFORMED] = "malformed",
        [REQUEST_HEAD_TOO_LARGE] = "too large",
        [REQUEST_HEAD_TARGET_TOO_LONG] = "target too long",
    };
    struct request_head head;
    if (!request_head_read(bytes, len, 0, &head)) {
        (void)puts("unfinished");
    } else if (head.fault != REQUEST_HEAD_FINE) {
        (void)puts(faults[head.fault]);
    } else {
        (void)printf("fine %zu %d ", head.len, head.minor_version);
        print_text(head.method, ' ');
        print_text(head.target, ' ');
        for (size_t i = 0; i < head.field_count; i++) {
            print_text(head.fields[i].name, '=');
            print_text(head.fields[i].value, ' ');
        }
        (void)putchar('\n');
    }
}

int main(void)
{
    char *line = NULL;
    size_t room = 0;
    for (ssize_t line_len; (line_len = getline(&line, &room, stdin)) > 0;) {
        char *bytes = malloc((size_t)line_len);
        if (bytes == NULL)
            return EXIT_FAILURE;
        size_t len = 0;
        unsigned byte;
        for (const char *p = line; sscanf(p, "%2x", &byte) == 1; p += 2)
            bytes[len++] = (char)byte;
        answer(bytes, len);
        free(bytes);
    }
    free(line);
    return EXIT_SUCCESS;
}
