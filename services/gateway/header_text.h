/* Reads the value of a header field from left to right. The parts are those that the grammars of
 * HTTP's fields are made of (RFC 9110, 5.6). */
#ifndef GATEWAY_HEADER_TEXT_H
#define GATEWAY_HEADER_TEXT_H

#include <h2o.h>
#include <stdbool.h>

struct header_text {
    const char *at, *end;
};

/* OWS: blanks and tabs. */
void header_skip_blanks(struct header_text *text);

/* Take this character if it is the next one. */
bool header_take(struct header_text *text, char c) __attribute__((warn_unused_result));

bool header_is_token_char(char c);

/* token; what it is made of stays in the field's bytes. */
bool header_take_token(struct header_text *text, h2o_iovec_t *ret_token)
    __attribute__((warn_unused_result));

/* token / quoted-string: of the latter what stands between the quotes, with its backslashes. */
bool header_take_word(struct header_text *text, h2o_iovec_t *ret_word)
    __attribute__((warn_unused_result));

/* Go on to the end of this element of a list: the next comma outside quotes, or the end. */
void header_skip_element(struct header_text *text);

#endif
