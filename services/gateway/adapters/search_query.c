/* A name is stored and analysed as its client sent it: "é" as one character or as "e" with a
 * combining one, which are different words to the index. So both forms of the term are asked for. A
 * name counts once, with the better of its scores, whichever forms it matches. */
#include "services/gateway/adapters/search_query.h"
#include "proto/utf8.h"
#include "services/base/json_text.h"
#include "services/base/memory.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#define FORMS_MAX 3 /* as it is, composed, decomposed */
/* No text of any language has more (UAX #15, "Stream-Safe Text Format"). utf8proc puts them in
 * order in a time that grows with their square. */
#define MARKS_MAX 30

struct form {
    const char *text;
    size_t len;
    utf8proc_uint8_t *allocated; /* or NULL */
};

/* Whether the term may have another form: it is UTF-8 and not all ASCII, with no more combining
 * characters in a row than text has. */
static bool has_forms(const char *term, size_t term_len)
{
    bool ascii = true;
    unsigned marks = 0;
    for (size_t i = 0, char_len; i < term_len && marks <= MARKS_MAX; i += char_len) {
        uint32_t character = utf8_decode(term + i, term_len - i, &char_len);
        if (character == UTF8_INVALID)
            return false;
        ascii = ascii && char_len == 1;
        bool mark = utf8proc_get_property((utf8proc_int32_t)character)->combining_class != 0;
        marks = mark ? marks + 1 : 0;
    }
    return !ascii && marks <= MARKS_MAX;
}

/* Add the form, unless it is there. */
static size_t add_form(struct form *forms, size_t count, utf8proc_option_t option)
{
    struct form form = {.allocated = NULL};
    utf8proc_ssize_t len =
        utf8proc_map((const utf8proc_uint8_t *)forms[0].text, (utf8proc_ssize_t)forms[0].len,
                     &form.allocated, UTF8PROC_STABLE | option);
    if (len < 0)
        abort(); /* out of memory */
    form.text = (const char *)form.allocated;
    form.len = (size_t)len;
    bool new = true;
    for (size_t i = 0; i < count && new; i++)
        new = form.len != forms[i].len || memcmp(form.text, forms[i].text, form.len) != 0;
    if (!new) {
        free(form.allocated);
        return count;
    }
    forms[count] = form;
    return count + 1;
}

static size_t forms_of(const char *term, size_t term_len, struct form forms[FORMS_MAX])
{
    forms[0] = (struct form){.text = term, .len = term_len};
    if (!has_forms(term, term_len))
        return 1;
    size_t count = add_form(forms, 1, UTF8PROC_COMPOSE);
    return add_form(forms, count, UTF8PROC_DECOMPOSE);
}

char *search_query_new(const char *term, size_t term_len, unsigned size, unsigned from,
                       size_t *ret_len)
{
    static const char begin[] = "{\"query\":", begin_forms[] = "{\"dis_max\":{\"queries\":[",
                      match[] = "{\"match\":{\"product_name\":\"", match_end[] = "\"}}",
                      end_forms[] = "]}}",
                      end[] = ",\"size\":%u,\"from\":%u,\"track_total_hits\":true}";
    struct form forms[FORMS_MAX];
    size_t count = forms_of(term, term_len, forms);
    size_t room = sizeof(begin) + sizeof(begin_forms) + sizeof(end_forms) + sizeof(end) + 2 * 10;
    for (size_t i = 0; i < count; i++)
        room += sizeof(match) + JSON_TEXT_SIZE(forms[i].len) + sizeof(match_end);

    char *query = memory_take(room), *at = stpcpy(query, begin);
    at = stpcpy(at, count > 1 ? begin_forms : "");
    for (size_t i = 0; i < count; i++) {
        at = stpcpy(stpcpy(at, i > 0 ? "," : ""), match);
        at += json_text_escape(forms[i].text, forms[i].len, at, JSON_TEXT_SIZE(forms[i].len));
        at = stpcpy(at, match_end);
        free(forms[i].allocated);
    }
    at = stpcpy(at, count > 1 ? end_forms : "");
    at += sprintf(at, end, size, from);
    *ret_len = (size_t)(at - query);
    return query;
}
