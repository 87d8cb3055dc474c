/* Parses RABBITMQ_URL by libcurl's URL parser, which is more lenient than a setting with a password
 * in it should be: what libcurl takes without a word is refused here. */
#include "services/clients/rabbitmq/amqp_url.h"
#include "services/base/memory.h"
#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PLAIN "amqp://"
#define TLS "amqps://"
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._"

static bool starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* libcurl copies a percent sign without two hexadecimal digits, and decodes %7F (DEL). */
static bool well_encoded(const char *text)
{
    for (const char *at = strchr(text, '%'); at != NULL; at = strchr(at + 1, '%'))
        if (!isxdigit((unsigned char)at[1]) || !isxdigit((unsigned char)at[2]) ||
            (at[1] == '7' && toupper((unsigned char)at[2]) == 'F'))
            return false;
    return true;
}

/* Copy a part, decoded, or `preset` when the URL has no such part. Returns false when the part is
 * too long or has an encoded control character. */
static bool copy_part(CURLU *url, CURLUPart part, const char *preset, char *to, size_t size)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(url, part, &text, CURLU_URLDECODE);
    bool absent = code == CURLUE_NO_USER || code == CURLUE_NO_PASSWORD || code == CURLUE_NO_PORT;
    const char *from = absent ? preset : text;
    bool fits = from != NULL && strlen(from) < size;
    if (fits)
        memcpy(to, from, strlen(from) + 1);
    if (text != NULL)
        explicit_bzero(text, strlen(text));
    curl_free(text);
    return fits;
}

/* Returns what is wrong, or NULL. */
static const char *read_parts(CURLU *url, struct amqp_url *ret)
{
    char path[1 + sizeof ret->vhost], port[8], *zone = NULL;
    if (!copy_part(url, CURLUPART_USER, "guest", ret->user, sizeof ret->user) ||
        !copy_part(url, CURLUPART_PASSWORD, "guest", ret->password, sizeof ret->password) ||
        ret->user[0] == '\0')
        return "the user or password is empty, too long or wrongly percent-encoded";
    if (!copy_part(url, CURLUPART_HOST, NULL, ret->host, sizeof ret->host) ||
        !copy_part(url, CURLUPART_PATH, NULL, path, sizeof path))
        return "the host or virtual host is too long or wrongly percent-encoded";
    if (curl_url_get(url, CURLUPART_ZONEID, &zone, 0) == CURLUE_OK) {
        curl_free(zone);
        return "an IPv6 address must not have a zone";
    }
    if (ret->host[0] != '[' && ret->host[strspn(ret->host, NAME_CHARACTERS)] != '\0')
        return "the host has characters that no host name has";
    if (ret->host[0] == '[') {
        ret->host[strlen(ret->host) - 1] = '\0';
        memmove(ret->host, ret->host + 1, strlen(ret->host));
    }
    const char *vhost = path[1] != '\0' ? path + 1 : path;
    memcpy(ret->vhost, vhost, strlen(vhost) + 1);
    if (!copy_part(url, CURLUPART_PORT, ret->tls ? "5671" : "5672", port, sizeof port) ||
        (ret->port = (uint16_t)atoi(port)) == 0) /* libcurl takes 0 to 65535 */
        return "the port must be a number from 1 to 65535";
    return NULL;
}

static const char *parse(const char *text, CURLU *url, struct amqp_url *ret)
{
    ret->tls = starts(text, TLS);
    if (!ret->tls && !starts(text, PLAIN))
        return "must begin with amqp:// or amqps://";
    if (strpbrk(text, "?#") != NULL)
        return "a query (?) or fragment (#) is not supported; write %3F or %23 for the character "
               "itself";
    if (!well_encoded(text))
        return "% must stand before two hexadecimal digits that are no control character";
    const char *authority = text + (ret->tls ? strlen(TLS) : strlen(PLAIN));
    const char *path = strchr(authority, '/');
    if (path != NULL && strchr(path + 1, '/') != NULL)
        return "a slash within the virtual host must be written %2F";
    if (path == authority ||
        curl_url_set(url, CURLUPART_URL, text,
                     CURLU_NON_SUPPORT_SCHEME | CURLU_PATH_AS_IS | CURLU_ALLOW_SPACE) != CURLUE_OK)
        return "must be amqp[s]://user:password@host:port/vhost";
    return read_parts(url, ret);
}

int amqp_url_parse(const char *text, struct amqp_url *ret, struct error *err)
{
    struct amqp_url parsed;
    CURLU *url = curl_url();
    if (url == NULL)
        abort();
    const char *wrong = parse(text, url, &parsed);
    curl_url_cleanup(url);
    if (wrong == NULL)
        *ret = parsed;
    else
        error_set(err, "%s", wrong);
    explicit_bzero(&parsed, sizeof parsed);
    return wrong == NULL ? 0 : -1;
}

void amqp_url_server(const struct amqp_url *url, char server[AMQP_URL_SERVER_SIZE])
{
    bool ipv6 = strchr(url->host, ':') != NULL;
    (void)snprintf(server, AMQP_URL_SERVER_SIZE, "%s%s%s:%u", ipv6 ? "[" : "", url->host,
                   ipv6 ? "]" : "", (unsigned)url->port); /* it fits */
}

/* Returns the comma at which the first URL of the list ends, or NULL when it is the last one. */
static char *first_end(char *text)
{
    char *comma = strchr(text, ',');
    while (comma != NULL && !starts(comma + 1, PLAIN) && !starts(comma + 1, TLS))
        comma = strchr(comma + 1, ',');
    return comma;
}

static size_t commas(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += *text == ',';
    return count;
}

int amqp_url_list_parse(const char *text, struct amqp_url_list *ret, struct error *err)
{
    struct amqp_url_list list = {.urls = memory_new_array(commas(text) + 1, sizeof *list.urls)};
    char *copy = memory_copy_text(text), *end;
    int failed = 0;
    for (char *first = copy; first != NULL && !failed; first = end != NULL ? end + 1 : NULL) {
        end = first_end(first);
        if (end != NULL)
            *end = '\0';
        failed = amqp_url_parse(first, &list.urls[list.count], err);
        list.count += failed ? 0 : 1;
    }
    explicit_bzero(copy, strlen(text));
    free(copy);
    if (failed)
        amqp_url_list_release(&list);
    else
        *ret = list;
    return failed;
}

void amqp_url_list_release(struct amqp_url_list *list)
{
    explicit_bzero(list->urls, list->count * sizeof *list->urls);
    free(list->urls);
    *list = (struct amqp_url_list){.count = 0};
}

int amqp_url_list_validate(const char *text, struct error *err)
{
    struct amqp_url_list list;
    if (amqp_url_list_parse(text, &list, err) != 0)
        return -1;
    amqp_url_list_release(&list);
    return 0;
}
