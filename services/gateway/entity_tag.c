/* Compares an entity tag with those of If-None-Match. By RFC 9110, 13.1.2 and 8.8.3:
 *
 * If-None-Match = "*" / #entity-tag
 * entity-tag    = [ "W/" ] DQUOTE *etagc DQUOTE, in which a backslash is a character as any other
 * Several lines are one list. */
#include "services/gateway/entity_tag.h"
#include "services/gateway/header_text.h"
#include <string.h>

/* The part of a tag that the weak comparison looks at, with its quotes. */
static bool take_opaque(struct header_text *text, h2o_iovec_t *ret)
{
    if (text->end - text->at > 2 && memcmp(text->at, "W/", 2) == 0)
        text->at += 2;
    const char *begin = text->at;
    if (!header_take(text, '"'))
        return false;
    const char *quote = memchr(text->at, '"', (size_t)(text->end - text->at));
    if (quote == NULL)
        return false;
    text->at = quote + 1;
    *ret = h2o_iovec_init(begin, (size_t)(text->at - begin));
    return true;
}

static bool line_matches(struct header_text text, h2o_iovec_t wanted)
{
    do {
        h2o_iovec_t tag;
        header_skip_blanks(&text);
        if (take_opaque(&text, &tag) && h2o_memis(tag.base, tag.len, wanted.base, wanted.len))
            return true;
        header_skip_blanks(&text);
    } while (header_take(&text, ','));
    return false;
}

bool entity_tag_matches(const h2o_headers_t *headers, const char *tag)
{
    const char *opaque = strchr(tag, '"');
    h2o_iovec_t wanted = h2o_iovec_init(opaque, strlen(opaque));
    for (ssize_t at = -1; (at = h2o_find_header(headers, H2O_TOKEN_IF_NONE_MATCH, at)) != -1;) {
        h2o_iovec_t line = headers->entries[at].value;
        if (h2o_memis(line.base, line.len, H2O_STRLIT("*")) ||
            line_matches((struct header_text){line.base, line.base + line.len}, wanted))
            return true;
    }
    return false;
}
