/* A PostgreSQL connection string: is it one, and connecting by it. libpq does all that it asks for:
 * hosts in turn, TLS, service and password files. */
#include "services/clients/postgres/dsn.h"
#include "services/base/certificates.h"
#include "services/base/memory.h"
#include "services/clients/postgres/answer.h"
#include "services/clients/postgres/connection.h"
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    while (options->keyword != NULL && strcmp(options->keyword, keyword) != 0)
        options++;
    return options->val != NULL ? options->val : "";
}

/* Of a URI whose password holds a plain '@', libpq takes the rest of the password for a part of the
 * host, which then shows in messages. One at the beginning is an abstract Unix socket. */
static bool host_has_at_sign(const PQconninfoOption *options)
{
    const char *const host = value_of(options, "host");
    for (const char *c = host; *c != '\0'; c++)
        if (*c == '@' && c > host && c[-1] != ',')
            return true;
    return false;
}

/* Nothing, or a whole number with a comma or the end behind it. */
static bool is_number(const char *text, long min, long max)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    bool empty = *text == '\0' || *text == ',';
    return empty || (end > text && (*end == '\0' || *end == ',') && errno == 0 && number >= min &&
                     number <= max);
}

/* The numbers, which libpq reads only when it connects. Returns the keyword of the first that is
 * none, or NULL. */
static const char *bad_number(const PQconninfoOption *options)
{
    static const char *const keywords[] = {"connect_timeout",  "keepalives",
                                           "keepalives_idle",  "keepalives_interval",
                                           "keepalives_count", "tcp_user_timeout"};
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        const char *value = value_of(options, keywords[i]);
        if (strchr(value, ',') != NULL || !is_number(value, INT_MIN, INT_MAX))
            return keywords[i];
    }
    for (const char *port = value_of(options, "port"); port != NULL; port = strchr(port, ',')) {
        port += *port == ',';
        if (!is_number(port, 1, UINT16_MAX))
            return "port";
    }
    return NULL;
}

/* What libpq says when it is to connect with these options, but for `left_out` (NULL: all of them),
 * and to port 0, which it refuses last, before it looks up a name or opens a socket. The caller
 * ends the connection with PQfinish(). */
static PGconn *connect_to_port_0(const PQconninfoOption *options, const PQconninfoOption *left_out)
{
    size_t count = 0, total = 1;
    while (options[total - 1].keyword != NULL)
        total++;
    const char **keywords = memory_new_array(total, sizeof *keywords);
    const char **values = memory_new_array(total, sizeof *values);
    const char *port = value_of(options, "port");
    char *ports = memory_new(2 * strlen(port) + 2), *end = ports; /* one for each */
    for (*end++ = '0'; *port != '\0'; port++)
        if (*port == ',')
            end = mempcpy(end, ",0", 2);
    for (const PQconninfoOption *option = options; option->keyword != NULL; option++) {
        bool is_port = strcmp(option->keyword, "port") == 0;
        if (option == left_out || (option->val == NULL && !is_port))
            continue;
        keywords[count] = option->keyword;
        values[count++] = is_port ? ports : option->val;
    }
    PGconn *conn = PQconnectStartParams(keywords, values, 0);
    if (conn == NULL)
        abort(); /* out of memory */
    free(ports);
    free(values);
    free(keywords);
    return conn;
}

/* Does libpq find no fault with the options before it comes to port 0? Then it says of the port
 * what it says when there is nothing else. */
static bool takes(const PQconninfoOption *options, const PQconninfoOption *left_out)
{
    /* Without a user, libpq first looks for the name of the process's, which may have none. */
    static const char *const keywords[] = {"user", "port", NULL};
    static const char *const values[] = {"user", "0", NULL};
    PGconn *only_port = PQconnectStartParams(keywords, values, 0);
    PGconn *conn = connect_to_port_0(options, left_out);
    if (only_port == NULL)
        abort();                                      /* out of memory */
    const char *expected = PQerrorMessage(only_port); /* once for each host */
    bool taken = strncmp(PQerrorMessage(conn), expected, strlen(expected)) == 0;
    PQfinish(conn);
    PQfinish(only_port);
    return taken;
}

/* libpq itself judges sslmode and the like, and how many hosts and ports there are. Its message
 * would quote the value, so the keyword is found by leaving one after the other out. */
static int validate_by_libpq(const PQconninfoOption *options, struct error *err)
{
    if (takes(options, NULL))
        return 0;
    const PQconninfoOption *option = options;
    while (option->keyword != NULL && (option->val == NULL || !takes(options, option)))
        option++;
    if (option->keyword != NULL)
        error_set(err, "libpq does not accept the value of %s", option->keyword);
    else
        error_set(err, "libpq does not accept the values");
    return -1;
}

static int validate_options(const PQconninfoOption *options, struct error *err)
{
    const char *number = bad_number(options), *root = value_of(options, "sslrootcert");
    if (host_has_at_sign(options)) {
        error_set(err, "a host name with '@' in it: write '@' in a password as %%40");
        return -1;
    }
    if (number != NULL) {
        error_set(err, "the value of %s is not a number that libpq can use", number);
        return -1;
    }
    if (validate_by_libpq(options, err) != 0)
        return -1;
    struct error reason;
    if (root[0] == '\0' || strcmp(root, "system") == 0 ||
        strcmp(value_of(options, "sslmode"), "disable") == 0 ||
        certificates_validate(root, &reason) == 0)
        return 0;
    error_set(err, "sslrootcert: %s", reason.message);
    return -1;
}

int database_dsn_validate(const char *text, struct error *err)
{
    char *reason = NULL; /* quotes parts of the text, which may hold a password */
    PQconninfoOption *options = PQconninfoParse(text, &reason);
    PQfreemem(reason);
    if (options == NULL) {
        error_set(err, "not a PostgreSQL connection string (libpq keywords or URI)");
        return -1;
    }
    int status = validate_options(options, err);
    PQconninfoFree(options);
    return status;
}

PGconn *dsn_connect(const char *dsn, const char *application_name, struct error *err)
{
    /* What stands before "dbname" gives way to the connection string, and what stands behind it
     * does not. A silent peer is given up after 10 + 3 · 5 s, unacknowledged data after 20 s
     * (tcp(7)). libpq would look for Kerberos credentials at each connection. */
    const char *const parameters[][2] = {
        {"connect_timeout", "5"},
        {"keepalives_idle", "10"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "3"},
        {"tcp_user_timeout", "20000"},
        {"gssencmode", "disable"},
        {"dbname", dsn},
        {"client_encoding", "UTF8"},
        {"fallback_application_name", application_name},
    };
    enum { COUNT = sizeof parameters / sizeof parameters[0] };
    const char *keywords[COUNT + 1] = {NULL}, *values[COUNT + 1] = {NULL};
    for (size_t i = 0; i < COUNT; i++) {
        keywords[i] = parameters[i][0];
        values[i] = parameters[i][1];
    }
    PGconn *conn = PQconnectdbParams(keywords, values, 1);
    if (conn == NULL)
        abort(); /* out of memory */
    if (PQstatus(conn) == CONNECTION_OK)
        return conn;
    /* libpq 17 has no message when the process is out of descriptors. */
    const char *reason = strerror(errno), *message = PQerrorMessage(conn);
    answer_set_line(err->message, sizeof err->message, message[0] != '\0' ? message : reason);
    PQfinish(conn);
    return NULL;
}
