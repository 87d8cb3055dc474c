/* Comma lists in, comma lists out: host=a,b hostaddr=… port=1,2 become struct server each, and
 * after the names are resolved one entry per address. `host` stays beside `hostaddr`, because libpq
 * checks the certificate's name and looks the password up by it. */
#include "services/clients/postgres/dsn.h"
#include "services/base/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dsn {
    PQconninfoOption *options;
};

/* NULL when not given. */
static const char *value_of(const struct dsn *dsn, const char *keyword)
{
    for (const PQconninfoOption *option = dsn->options; option->keyword != NULL; option++)
        if (strcmp(option->keyword, keyword) == 0 && option->val != NULL && option->val[0] != '\0')
            return option->val;
    return NULL;
}

/* Of a URI whose password holds a plain '@', libpq takes the rest of the password for a part of the
 * host, which then shows in messages. One at the beginning is an abstract Unix socket. */
static bool host_has_at_sign(const char *hosts)
{
    for (const char *c = hosts; c != NULL && *c != '\0'; c++)
        if (*c == '@' && c > hosts && c[-1] != ',')
            return true;
    return false;
}

struct dsn *dsn_parse(const char *text, struct error *err)
{
    char *reason = NULL; /* quotes parts of the text */
    PQconninfoOption *options = PQconninfoParse(text, &reason);
    PQfreemem(reason);
    if (options == NULL) {
        error_set(err, "not a PostgreSQL connection string (libpq keywords or URI)");
        return NULL;
    }
    struct dsn *dsn = memory_new(sizeof *dsn);
    dsn->options = options;
    if (host_has_at_sign(value_of(dsn, "host"))) {
        error_set(err, "a host name with '@' in it: write '@' in a password as %%40");
        dsn_free(dsn);
        return NULL;
    }
    return dsn;
}

void dsn_free(struct dsn *dsn)
{
    if (dsn == NULL)
        return;
    PQconninfoFree(dsn->options);
    free(dsn);
}

/* Copy the next item of a comma list and step over it. Returns false when it does not fit. */
static bool next_item(const char **list, char *item, size_t size)
{
    size_t len = strcspn(*list, ",");
    if (len >= size)
        return false;
    memcpy(item, *list, len);
    item[len] = '\0';
    *list += len + ((*list)[len] == ',');
    return true;
}

static size_t count_items(const char *list)
{
    size_t count = 1;
    for (; *list != '\0'; list++)
        count += *list == ',';
    return count;
}

void dsn_servers(const struct dsn *dsn, struct server_list *ret_servers)
{
    ret_servers->count = 0;
    const char *hosts = value_of(dsn, "host");
    const char *addresses = value_of(dsn, "hostaddr");
    const char *ports = value_of(dsn, "port");
    if (hosts == NULL && addresses == NULL && value_of(dsn, "service") == NULL &&
        getenv("PGHOSTADDR") == NULL)
        hosts = getenv("PGHOST");
    if (hosts == NULL || hosts[0] == '\0')
        return; /* nothing to resolve: a default, or addresses alone */

    size_t count = count_items(hosts);
    size_t port_count = ports != NULL ? count_items(ports) : 0;
    if (count > SERVERS_MAX || (addresses != NULL && count_items(addresses) != count) ||
        (port_count > 1 && port_count != count))
        return; /* libpq refuses the mismatch with a good message */
    struct server only = {.port = ""};
    if (port_count == 1 && !next_item(&ports, only.port, sizeof only.port))
        return;
    for (size_t i = 0; i < count; i++) {
        struct server *server = &ret_servers->items[i];
        *server = only;
        if (!next_item(&hosts, server->host, sizeof server->host) ||
            (addresses != NULL &&
             !next_item(&addresses, server->address, sizeof server->address)) ||
            (port_count > 1 && !next_item(&ports, server->port, sizeof server->port)))
            return;
    }
    ret_servers->count = count;
}

int64_t dsn_connect_timeout_ms(const struct dsn *dsn, int64_t default_ms)
{
    const char *text = value_of(dsn, "connect_timeout");
    long seconds = text != NULL ? strtol(text, NULL, 10) : 0;
    return seconds > 0 && seconds <= 3600 ? seconds * 1000 : default_ms;
}

/* The lists of keywords and values for PQconnectStartParams(). */
struct parameters {
    const char *keywords[128];
    const char *values[128];
    size_t count;
};

static void set_parameter(struct parameters *parameters, const char *keyword, const char *value)
{
    size_t i = 0;
    while (i < parameters->count && strcmp(parameters->keywords[i], keyword) != 0)
        i++;
    if (i == sizeof parameters->keywords / sizeof parameters->keywords[0] - 1)
        abort(); /* libpq knows some 50 keywords */
    parameters->keywords[i] = keyword;
    parameters->values[i] = value;
    if (i == parameters->count)
        parameters->count++;
}

PGconn *dsn_connect(const struct dsn *dsn, const struct server_list *servers, size_t first,
                    const char *application_name)
{
    /* A silent peer is given up after 10 + 3 · 5 s, unacknowledged data after 20 s (tcp(7)). Unless
     * told otherwise libpq looks for Kerberos credentials at each connection, in files: on the
     * loop. */
    static const char *const defaults[][2] = {{"keepalives_idle", "10"},
                                              {"keepalives_interval", "5"},
                                              {"keepalives_count", "3"},
                                              {"tcp_user_timeout", "20000"},
                                              {"gssencmode", "disable"}};
    struct parameters parameters = {.count = 0};
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
        set_parameter(&parameters, defaults[i][0], defaults[i][1]);
    for (const PQconninfoOption *option = dsn->options; option->keyword != NULL; option++)
        if (option->val != NULL)
            set_parameter(&parameters, option->keyword, option->val);
    set_parameter(&parameters, "client_encoding", "UTF8");
    set_parameter(&parameters, "fallback_application_name", application_name);

    char hosts[SERVERS_MAX * sizeof servers->items[0].host] = "";
    char addresses[SERVERS_MAX * sizeof servers->items[0].address] = "";
    char ports[SERVERS_MAX * sizeof servers->items[0].port] = "";
    bool any_address = false, any_port = false;
    for (size_t i = 0; i < servers->count; i++) {
        const struct server *server = &servers->items[(first + i) % servers->count];
        const char *comma = i > 0 ? "," : "";
        strcat(strcat(hosts, comma), server->host); /* each item has room for its NUL or comma */
        strcat(strcat(addresses, comma), server->address);
        strcat(strcat(ports, comma), server->port);
        any_address |= server->address[0] != '\0';
        any_port |= server->port[0] != '\0';
    }
    if (servers->count > 0)
        set_parameter(&parameters, "host", hosts);
    if (any_address)
        set_parameter(&parameters, "hostaddr", addresses);
    if (any_port)
        set_parameter(&parameters, "port", ports);
    PGconn *conn = PQconnectStartParams(parameters.keywords, parameters.values, 0);
    if (conn == NULL)
        abort(); /* out of memory */
    return conn;
}
