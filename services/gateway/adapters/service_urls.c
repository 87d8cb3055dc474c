/* A list of URLs, in a setting or in a file. */
#include "services/gateway/adapters/service_urls.h"
#include "services/base/memory.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX_BYTES (64 * 1024)
#define SCHEME "http://"

static int read_url(const char *text, size_t len, struct service_url *ret, struct error *err)
{
    if (len > 0 && text[len - 1] == '/')
        len--;
    const size_t scheme_len = strlen(SCHEME);
    if (len >= sizeof(ret->text) || len <= scheme_len || memcmp(text, SCHEME, scheme_len) != 0 ||
        memchr(text + scheme_len, '/', len - scheme_len) != NULL ||
        memchr(text + scheme_len, '@', len - scheme_len) != NULL) {
        error_set(err, "must be a list of http://HOST:PORT, or the path of a file of them");
        return -1;
    }
    memcpy(ret->text, text, len);
    ret->text[len] = '\0';
    struct error fault;
    if (host_port_parse(ret->text + scheme_len, 0, &ret->address, &fault) != 0 ||
        ret->address.port == 0) {
        error_set(err, "each URL must be http://HOST:PORT");
        return -1;
    }
    return 0;
}

static int read_list(const char *text, struct service_urls *ret_urls, struct error *err)
{
    static const char between[] = ", \t\r\n";
    struct service_urls *urls = memory_new(sizeof(*urls));
    int rc = 0;
    while (rc == 0) {
        text += strspn(text, between);
        if (*text == '#') {
            text += strcspn(text, "\n");
            continue;
        }
        size_t len = strcspn(text, ", \t\r\n#");
        if (len == 0)
            break;
        if (urls->count == SERVICE_URLS_MAX) {
            error_set(err, "has more than %d URLs", SERVICE_URLS_MAX);
            rc = -1;
        } else {
            rc = read_url(text, len, &urls->items[urls->count], err);
            urls->count++;
        }
        text += len;
    }
    if (rc == 0)
        *ret_urls = *urls;
    free(urls);
    return rc;
}

/* The text of a file, malloc'd; or NULL with `err` set. */
static char *read_file(const char *path, struct error *err)
{
    /* A FIFO without a writer must not stop the caller. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *text = memory_new(FILE_MAX_BYTES + 1);
    ssize_t len = -1;
    if (fd != -1) {
        len = read(fd, text, FILE_MAX_BYTES + 1);
        if (len == FILE_MAX_BYTES + 1)
            errno = EFBIG;
    }
    if (len < 0 || len > FILE_MAX_BYTES) {
        error_set(err, "cannot read the file: %s", strerror(errno));
        free(text);
        text = NULL;
    } else if (memchr(text, '\0', (size_t)len) != NULL) {
        error_set(err, "the file has a NUL byte");
        free(text);
        text = NULL;
    } else {
        text[len] = '\0';
    }
    if (fd != -1)
        (void)close(fd);
    return text;
}

bool service_urls_is_file(const char *setting)
{
    return setting[0] == '/';
}

int service_urls_read(const char *setting, struct service_urls *ret_urls, struct error *err)
{
    if (!service_urls_is_file(setting))
        return read_list(setting, ret_urls, err);
    char *text = read_file(setting, err);
    if (text == NULL)
        return -1;
    int rc = read_list(text, ret_urls, err);
    free(text);
    return rc;
}

int service_urls_validate(const char *setting, struct error *err)
{
    struct service_urls *urls = memory_new(sizeof(*urls));
    int rc = service_urls_read(setting, urls, err);
    free(urls);
    return rc;
}
