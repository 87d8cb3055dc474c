/* Reads the parts of a header field: each function takes one from the front, if it is there. */
#include "services/gateway/header_text.h"
#include <string.h>

void header_skip_blanks(struct header_text *text)
{
    while (text->at < text->end && (*text->at == ' ' || *text->at == '\t'))
        text->at++;
}

bool header_take(struct header_text *text, char c)
{
    if (text->at == text->end || *text->at != c)
        return false;
    text->at++;
    return true;
}

/* tchar of RFC 9110, 5.6.2 */
bool header_is_token_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

bool header_take_token(struct header_text *text, h2o_iovec_t *ret_token)
{
    const char *begin = text->at;
    while (text->at < text->end && header_is_token_char(*text->at))
        text->at++;
    *ret_token = h2o_iovec_init(begin, (size_t)(text->at - begin));
    return ret_token->len > 0;
}

bool header_take_word(struct header_text *text, h2o_iovec_t *ret_word)
{
    if (!header_take(text, '"'))
        return header_take_token(text, ret_word);
    const char *begin = text->at;
    for (; text->at < text->end && *text->at != '"'; text->at++)
        if (*text->at == '\\' && text->at + 1 < text->end)
            text->at++;
    *ret_word = h2o_iovec_init(begin, (size_t)(text->at - begin));
    return header_take(text, '"');
}

void header_skip_element(struct header_text *text)
{
    h2o_iovec_t word;
    while (text->at < text->end && *text->at != ',')
        if (*text->at != '"')
            text->at++;
        else if (!header_take_word(text, &word))
            return; /* a string without an end takes the rest */
}
