/* Reads what a client accepts, and weighs what may be had against it. By RFC 9110, 12.5:
 *
 * Accept          = #( media-range [ weight ] )
 * media-range     = ( "*" "/" "*" / type "/" "*" / type "/" subtype ) parameters
 * Accept-Encoding = #( ( content-coding / "*" ) [ weight ] )
 * parameters      = *( OWS ";" OWS [ token "=" ( token / quoted-string ) ] )
 * weight          = OWS ";" OWS "q=" qvalue
 * Several lines are one list. Of the elements that fit a thing the most precise one counts; of
 * equally precise ones the highest weight. */
#include "services/gateway/accept.h"
#include "services/gateway/header_text.h"

struct element {
    h2o_iovec_t name, subtype; /* a coding has no subtype */
    unsigned weight;           /* in thousandths */
};

/* A thing that may be had, and how much it is wanted. */
struct thing {
    const char *name, *subtype;
    unsigned precision; /* of the element that counts; 0: none fits */
    unsigned weight;
};

/* "0" [ "." *3DIGIT ] / "1" [ "." *3"0" ] in thousandths */
static bool read_weight(h2o_iovec_t value, unsigned *ret_weight)
{
    unsigned weight = 0, unit = 1000;
    if (value.len == 0 || value.len > 5 || (value.len > 1 && value.base[1] != '.'))
        return false;
    for (size_t i = 0; i < value.len; i++) {
        if (i == 1)
            continue;
        if (value.base[i] < '0' || value.base[i] > '9')
            return false;
        weight += unit * (unsigned)(value.base[i] - '0');
        unit /= 10;
    }
    *ret_weight = weight;
    return weight <= 1000;
}

static bool take_parameters(struct header_text *text, unsigned *ret_weight)
{
    h2o_iovec_t name, value;
    for (header_skip_blanks(text); header_take(text, ';'); header_skip_blanks(text)) {
        header_skip_blanks(text);
        if (!header_take_token(text, &name))
            continue;
        if (!header_take(text, '=') || !header_take_word(text, &value))
            return false;
        if (h2o_lcstris(name.base, name.len, H2O_STRLIT("q")) && !read_weight(value, ret_weight))
            return false;
    }
    return text->at == text->end || *text->at == ',';
}

static bool take_element(struct header_text *text, struct element *ret)
{
    *ret = (struct element){.subtype = {NULL, 0}, .weight = 1000};
    if (!header_take_token(text, &ret->name))
        return false;
    if (header_take(text, '/') && !header_take_token(text, &ret->subtype))
        return false;
    return take_parameters(text, &ret->weight);
}

static bool is_any(h2o_iovec_t token)
{
    return h2o_memis(token.base, token.len, H2O_STRLIT("*"));
}

static bool is(h2o_iovec_t token, const char *name)
{
    return h2o_lcstris(token.base, token.len, name, strlen(name));
}

/* "x-gzip" is another name of gzip (RFC 9110, 8.4.1.3). */
static bool is_coding(h2o_iovec_t token, const char *name)
{
    if (h2o_lcstris(token.base, token.len, H2O_STRLIT("x-gzip")))
        token = h2o_iovec_init(H2O_STRLIT("gzip"));
    return is(token, name);
}

/* How precisely the element names the thing; 0: it names another. */
static unsigned precision_of(const struct element *element, const struct thing *thing)
{
    bool is_media_type = thing->subtype != NULL;
    if ((element->subtype.len > 0) != is_media_type)
        return 0;
    if (!is_media_type)
        return is_any(element->name) ? 1 : is_coding(element->name, thing->name) ? 2 : 0;
    if (is_any(element->name))
        return is_any(element->subtype) ? 1 : 0;
    if (!is(element->name, thing->name))
        return 0;
    return is_any(element->subtype) ? 2 : is(element->subtype, thing->subtype) ? 3 : 0;
}

static void weigh(struct thing *thing, const struct element *element)
{
    unsigned precision = precision_of(element, thing);
    if (precision == 0 || precision < thing->precision)
        return;
    if (precision > thing->precision || element->weight > thing->weight)
        thing->weight = element->weight;
    thing->precision = precision;
}

static void read_headers(const h2o_headers_t *headers, const h2o_token_t *name,
                         struct thing *things, size_t count)
{
    for (ssize_t at = -1; (at = h2o_find_header(headers, name, at)) != -1;) {
        h2o_iovec_t line = headers->entries[at].value;
        struct header_text text = {line.base, line.base + line.len};
        do {
            struct element element;
            header_skip_blanks(&text);
            if (!take_element(&text, &element)) {
                header_skip_element(&text); /* also an empty one */
                continue;
            }
            for (size_t i = 0; i < count; i++)
                weigh(&things[i], &element);
        } while (header_take(&text, ','));
    }
}

bool accept_prefers_html(const h2o_headers_t *headers)
{
    enum { HTML, JSON, FORMS };
    struct thing things[FORMS] = {
        [HTML] = {"text", "html", 0, 0}, [JSON] = {"application", "json", 0, 0}};
    read_headers(headers, H2O_TOKEN_ACCEPT, things, FORMS);
    return things[HTML].weight > things[JSON].weight;
}

bool accept_takes_gzip(const h2o_headers_t *headers)
{
    enum { GZIP, PLAIN, CODINGS };
    struct thing things[CODINGS] = {
        [GZIP] = {"gzip", NULL, 0, 0}, [PLAIN] = {"identity", NULL, 0, 0}};
    read_headers(headers, H2O_TOKEN_ACCEPT_ENCODING, things, CODINGS);
    return things[GZIP].weight > 0 && things[GZIP].weight >= things[PLAIN].weight;
}
