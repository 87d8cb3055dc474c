/* A link without a key is safe where only programs of this machine's user reach it, or of this
 * machine. */
#include "services/worker/link_settings.h"
#include "services/base/endpoint.h"
#include "services/base/log.h"
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folder of the sockets is ours and nobody else may enter it. A leading "@" would mean no file,
 * but a name that is open to everybody. */
static bool is_in_closed_folder(const char *endpoint)
{
    char folder[ENDPOINT_SIZE] = ".";
    const char *path = endpoint + strlen("ipc://"), *slash = strrchr(path, '/');
    struct stat status;
    if (*path == '@')
        return false;
    if (slash != NULL) {
        size_t len = slash > path ? (size_t)(slash - path) : 1;
        memcpy(folder, path, len);
        folder[len] = '\0';
    }
    return stat(folder, &status) == 0 && S_ISDIR(status.st_mode) &&
           (status.st_mode & (S_IRWXG | S_IRWXO)) == 0 && status.st_uid == geteuid();
}

static int check_endpoint(const struct link_settings *settings, const char *variable,
                          const char *endpoint, struct error *err)
{
    if (bridge_endpoint_is_tcp(endpoint)) {
        if (settings->key != NULL || bridge_endpoint_is_loopback(endpoint))
            return 0;
        error_set(err,
                  "%s: an address other than 127.0.0.0/8 and ::1 needs LINK_KEY, the same for all "
                  "bridges and workers (openssl rand -hex 32), or LINK_AUTH=off",
                  variable);
        return -1;
    }
    if (is_in_closed_folder(endpoint))
        return 0;
    error_set(err,
              "%s: the folder of the sockets must be there, this user's, and closed to others "
              "(mode 0700)",
              variable);
    return -1;
}

int link_settings_check(const struct link_settings *settings, const char *variable,
                        const char *endpoints, struct error *err)
{
    struct endpoint_list list;
    if (settings->auth == LINK_AUTH_OFF) {
        if (settings->key == NULL)
            return 0;
        error_set(err, "LINK_AUTH: off, but LINK_KEY is set");
        return -1;
    }
    if (endpoint_list_parse(endpoints, &list, err) != 0)
        return -1;
    for (size_t i = 0; i < list.count; i++)
        if (check_endpoint(settings, variable, list.items[i], err) != 0)
            return -1;
    return 0;
}

const struct link_key *link_settings_key(const struct link_settings *settings,
                                         struct link_key *storage)
{
    if (settings->auth == LINK_AUTH_OFF)
        log_warn("LINK_AUTH is off: whoever reaches the links can take orders and answer for "
                 "workers");
    if (settings->key == NULL)
        return NULL;
    link_key_read(settings->key, storage);
    return storage;
}
