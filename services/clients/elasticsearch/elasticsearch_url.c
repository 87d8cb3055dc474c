/* Where Elasticsearch is. The credentials are taken out of the URL, so that no message of libcurl
 * can quote them. Also the checks of the other options about Elasticsearch. */
#include "services/clients/elasticsearch/elasticsearch_url.h"
#include "services/base/memory.h"
#include "services/clients/elasticsearch/elasticsearch.h"
#include <curl/curl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define API_KEY_MAX_BYTES 4096

/* A copy of a part, or NULL when it is missing. */
static char *url_part(CURLU *url, CURLUPart part, unsigned flags)
{
    char *text = NULL, *copy = NULL;
    if (curl_url_get(url, part, &text, flags) == CURLUE_OK) {
        copy = memory_copy_text(text);
        explicit_bzero(text, strlen(text));
    }
    curl_free(text);
    return copy;
}

static bool url_has(CURLU *url, CURLUPart part)
{
    char *text = url_part(url, part, 0);
    free(text);
    return text != NULL;
}

static bool url_scheme_known(CURLU *url)
{
    char *scheme = url_part(url, CURLUPART_SCHEME, 0);
    bool known = scheme != NULL && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    free(scheme);
    return known;
}

static const char *url_read(CURLU *url, const char *text, struct elasticsearch_url *ret)
{
    if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK || !url_scheme_known(url))
        return "must be http[s]://[user:password@]host[:port][/prefix]";
    if (url_has(url, CURLUPART_QUERY) || url_has(url, CURLUPART_FRAGMENT))
        return "must not have a query (?) or fragment (#)";
    bool has_user = url_has(url, CURLUPART_USER);
    ret->user = url_part(url, CURLUPART_USER, CURLU_URLDECODE);
    ret->password = url_part(url, CURLUPART_PASSWORD, CURLU_URLDECODE);
    if (has_user && ret->user == NULL)
        return "the user or password is wrongly percent-encoded";
    if (curl_url_set(url, CURLUPART_USER, NULL, 0) != CURLUE_OK ||
        curl_url_set(url, CURLUPART_PASSWORD, NULL, 0) != CURLUE_OK)
        abort();
    ret->base = url_part(url, CURLUPART_URL, 0);
    if (ret->base == NULL)
        return "must be http[s]://[user:password@]host[:port][/prefix]";
    size_t len = strlen(ret->base);
    while (len > 0 && ret->base[len - 1] == '/')
        ret->base[--len] = '\0';
    return NULL;
}

int elasticsearch_url_parse(const char *text, struct elasticsearch_url *ret_url, struct error *err)
{
    struct elasticsearch_url parsed = {.base = NULL};
    CURLU *url = curl_url();
    if (url == NULL)
        abort();
    const char *wrong = url_read(url, text, &parsed);
    curl_url_cleanup(url);
    if (wrong != NULL) {
        error_set(err, "%s", wrong);
        elasticsearch_url_release(&parsed);
        return -1;
    }
    *ret_url = parsed;
    return 0;
}

void elasticsearch_url_release(struct elasticsearch_url *url)
{
    if (url->password != NULL)
        explicit_bzero(url->password, strlen(url->password));
    free(url->base);
    free(url->user);
    free(url->password);
    *url = (struct elasticsearch_url){.base = NULL};
}

int elasticsearch_url_validate(const char *text, struct error *err)
{
    struct elasticsearch_url url;
    if (elasticsearch_url_parse(text, &url, err) != 0)
        return -1;
    elasticsearch_url_release(&url);
    return 0;
}

int elasticsearch_api_key_validate(const char *key, struct error *err)
{
    size_t len = 0;
    while (key[len] > ' ' && key[len] <= '~' && len < API_KEY_MAX_BYTES)
        len++;
    if (key[len] == '\0')
        return 0;
    error_set(err, "must be printable, without blanks, and of at most %d bytes", API_KEY_MAX_BYTES);
    return -1;
}

int elasticsearch_index_validate(const char *name, struct error *err)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    size_t len = strlen(name);
    if (len > 0 && len <= ELASTICSEARCH_INDEX_MAX_BYTES && strchr(first, name[0]) != NULL &&
        strspn(name + 1, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len - 1)
        return 0;
    error_set(err, "must be at most %d of a-z 0-9 . _ - and begin with a letter or digit",
              ELASTICSEARCH_INDEX_MAX_BYTES);
    return -1;
}
