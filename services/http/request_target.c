/* Takes a request target apart. The names of the parts are those of RFC 3986. */
#include "services/http/request_target.h"
#include "proto/hex.h"
#include <string.h>
#include <strings.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* unreserved and sub-delims */
static const bool common[256] = {
    ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['-'] = true, ['.'] = true,
    ['_'] = true,         ['~'] = true,         ['!'] = true,         ['$'] = true, ['&'] = true,
    ['\''] = true,        ['('] = true,         [')'] = true,         ['*'] = true, ['+'] = true,
    [','] = true,         [';'] = true,         ['='] = true,
};

/* How many characters of unreserved, sub-delims and `more` the text begins with; with `percent`
 * escapes count, too. */
static size_t span(struct request_text text, const char *more, bool percent)
{
    size_t i = 0;
    while (i < text.len) {
        char c = text.base[i];
        if (percent && c == '%' && text.len - i > 2 && hex_digit(text.base[i + 1]) >= 0 &&
            hex_digit(text.base[i + 2]) >= 0)
            i += 3;
        else if (common[(unsigned char)c] || (c != '\0' && strchr(more, c) != NULL))
            i++;
        else
            break;
    }
    return i;
}

static struct request_text skip(struct request_text text, size_t len)
{
    return (struct request_text){text.base + len, text.len - len};
}

bool request_host_valid(struct request_text value)
{
    struct request_text rest;
    if (value.len > 0 && value.base[0] == '[') { /* IP-literal */
        size_t len = span(skip(value, 1), ":", false);
        rest = skip(value, len + 1);
        if (len == 0 || rest.len == 0 || rest.base[0] != ']')
            return false;
        rest = skip(rest, 1);
    } else {
        rest = skip(value, span(value, "", true)); /* reg-name or IPv4address */
    }
    if (rest.len == 0)
        return true;
    if (rest.base[0] != ':')
        return false;
    for (size_t i = 1; i < rest.len; i++)
        if (!is_digit(rest.base[i]))
            return false;
    return true;
}

/* In absolute form, sets *ret_authority and *ret_rest to what follows it. */
static bool split_absolute(struct request_text target, struct request_text *ret_authority,
                           struct request_text *ret_rest)
{
    static const char *const schemes[] = {"http://", "https://"};
    if (target.len == 0 || target.base[0] == '/')
        return false;
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i]);
        if (target.len < len || strncasecmp(target.base, schemes[i], len) != 0)
            continue;
        struct request_text rest = skip(target, len);
        size_t end = 0;
        while (end < rest.len && strchr("/?#", rest.base[end]) == NULL)
            end++;
        *ret_authority = (struct request_text){rest.base, end};
        *ret_rest = skip(rest, end);
        return true;
    }
    return false;
}

bool request_target_valid(struct request_text target)
{
    for (size_t i = 0; i < target.len; i++)
        if (target.base[i] <= ' ' || target.base[i] > '~') /* a char may be signed */
            return false;
    struct request_text authority, rest;
    if (!split_absolute(target, &authority, &rest))
        return target.len > 0;
    return authority.len > 0 && authority.base[0] != ':' && request_host_valid(authority);
}

struct request_text request_target_path(struct request_text target)
{
    struct request_text authority, path = target;
    if (split_absolute(target, &authority, &path) && (path.len == 0 || path.base[0] == '?'))
        return (struct request_text){"/", 1};
    const char *query = memchr(path.base, '?', path.len);
    if (query != NULL && path.base[0] == '/')
        path.len = (size_t)(query - path.base);
    return path;
}
