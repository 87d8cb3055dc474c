/* Prefer = #( preference ), with
 *   preference = token [ "=" word ] *( ";" [ parameter ] )
 *   parameter  = token [ "=" word ]
 *   word       = token / quoted-string
 * and blanks around every "=", ";" and ",". Several lines are one list. Of a preference that is
 * given twice the first counts (RFC 7240, 2). An element that is not in this form is skipped, up to
 * the next comma outside quotes. */
#include "services/gateway/prefer.h"
#include "services/gateway/header_text.h"

/* token [ "=" word ], and the blanks after it. No value is the empty one. */
static bool take_pair(struct header_text *text, h2o_iovec_t *ret_name, h2o_iovec_t *ret_value)
{
    *ret_value = h2o_iovec_init("", 0);
    if (!header_take_token(text, ret_name))
        return false;
    header_skip_blanks(text);
    if (header_take(text, '=')) {
        header_skip_blanks(text);
        if (!header_take_word(text, ret_value))
            return false;
        header_skip_blanks(text);
    }
    return true;
}

static bool take_preference(struct header_text *text, h2o_iovec_t *ret_name, h2o_iovec_t *ret_value)
{
    h2o_iovec_t name, value;
    if (!take_pair(text, ret_name, ret_value))
        return false;
    while (header_take(text, ';')) {
        header_skip_blanks(text);
        if (text->at < text->end && header_is_token_char(*text->at) &&
            !take_pair(text, &name, &value))
            return false;
    }
    return text->at == text->end || *text->at == ',';
}

/* 1*DIGIT, in the bounds, or 0. */
static unsigned seconds(h2o_iovec_t value)
{
    unsigned number = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.base[i] < '0' || value.base[i] > '9')
            return 0;
        number = 10 * number + (unsigned)(value.base[i] - '0');
        if (number > PREFER_WAIT_MAX_S)
            return 0;
    }
    return number;
}

bool prefer_line_wait_s(const char *line, size_t len, unsigned *ret_wait_s)
{
    struct header_text text = {line, line + len};
    h2o_iovec_t name, value;
    do {
        header_skip_blanks(&text);
        if (!take_preference(&text, &name, &value)) {
            header_skip_element(&text); /* also an empty one */
        } else if (h2o_lcstris(name.base, name.len, H2O_STRLIT("wait"))) {
            *ret_wait_s = seconds(value);
            return true;
        }
    } while (header_take(&text, ','));
    return false;
}

unsigned prefer_wait_s(const struct request *request)
{
    const h2o_headers_t *headers = &request->req->headers;
    for (size_t i = 0; i < headers->size; i++) {
        const h2o_header_t *header = &headers->entries[i];
        unsigned wait_s;
        if (h2o_memis(header->name->base, header->name->len, H2O_STRLIT("prefer")) &&
            prefer_line_wait_s(header->value.base, header->value.len, &wait_s))
            return wait_s;
    }
    return 0;
}
