/* The options that all commands share, and the environment. The options that name something are
 * written into the environment, which is then read by the table that services use too: so a value
 * is checked in one place, wherever it came from. The token itself is no option: other users of the
 * machine see arguments. */
#include "services/orderctl/session.h"
#include "services/base/certificates.h"
#include "services/base/config.h"
#include "services/orderctl/exit_code.h"
#include <curl/curl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KEY_CA_FILE = 0x100, KEY_OPERATOR, KEY_TOKEN_FILE, KEY_API };

static const struct config_option settings[] = {
    CONFIG_OPTION("ORDER_API_URL", CONFIG_STRING, struct session, api,
                  .default_text = "http://127.0.0.1:8080", .validate = api_url_validate),
    CONFIG_OPTION("ORDER_API_CA_FILE", CONFIG_STRING, struct session, ca_file,
                  .validate = certificates_validate),
    CONFIG_OPTION("ADMIN_TOKEN", CONFIG_SECRET, struct session, token),
    CONFIG_OPTION("ADMIN_READ_TOKEN", CONFIG_SECRET, struct session, read_token),
};
#define SETTING_COUNT (sizeof(settings) / sizeof(settings[0]))

static const struct argp_option options[] = {
    {"api", KEY_API, "URL", 0, "The gateway (ORDER_API_URL; else http://127.0.0.1:8080)", 0},
    {"token-file", KEY_TOKEN_FILE, "FILE", 0,
     "The admin token (ADMIN_TOKEN or ADMIN_TOKEN_FILE; to look, ADMIN_READ_TOKEN is enough)", 0},
    {"ca-file", KEY_CA_FILE, "FILE", 0,
     "Certificates that an https:// gateway must be signed by (ORDER_API_CA_FILE; else the "
     "system's)",
     0},
    {"operator", KEY_OPERATOR, "NAME", 0, "Who does this, for the record (else your user name)", 0},
    {"output", 'o', "FORMAT", 0, "text, or json: the gateway's answer as it is", 0},
    {0},
};

/* Of an option. */
static void set(const char *name, const char *value)
{
    if (setenv(name, value, 1) != 0)
        abort();
}

static void set_operator(struct session *session, struct argp_state *state, const char *name)
{
    size_t len = strlen(name);
    bool printable = len > 0 && len < sizeof(session->operator_name);
    for (size_t i = 0; i < len; i++)
        printable = printable && name[i] >= 0x20 && name[i] <= 0x7e;
    if (!printable)
        argp_error(state, "--operator takes 1 to 100 printable ASCII characters");
    memcpy(session->operator_name, name, len + 1);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct session *session = state->input;
    switch (key) {
    case KEY_API:
        set("ORDER_API_URL", arg);
        return 0;
    case KEY_TOKEN_FILE:
        set("ADMIN_TOKEN_FILE", arg);
        (void)unsetenv("ADMIN_TOKEN");
        (void)unsetenv("ADMIN_READ_TOKEN");
        (void)unsetenv("ADMIN_READ_TOKEN_FILE");
        return 0;
    case KEY_CA_FILE:
        set("ORDER_API_CA_FILE", arg);
        return 0;
    case KEY_OPERATOR:
        set_operator(session, state, arg);
        return 0;
    case 'o':
        if (strcmp(arg, "json") != 0 && strcmp(arg, "text") != 0)
            argp_error(state, "--output is text or json");
        session->json = strcmp(arg, "json") == 0;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

const struct argp session_argp = {options, parse, NULL, NULL, NULL, NULL, NULL};
const struct argp_child session_children[] = {
    {&session_argp, 0, "Options of every command:", 1},
    {0},
};

/* Behind sudo, the user who called it. */
static void name_operator(struct session *session)
{
    const char *name = getuid() == 0 ? getenv("SUDO_USER") : NULL;
    if (name == NULL || name[0] == '\0') {
        const struct passwd *user = getpwuid(getuid());
        name = user != NULL ? user->pw_name : NULL;
    }
    if (name != NULL)
        (void)snprintf(session->operator_name, sizeof(session->operator_name), "%s", name);
    else
        (void)snprintf(session->operator_name, sizeof(session->operator_name), "uid %u", getuid());
    for (char *c = session->operator_name; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
}

void session_parse(const struct argp *argp, int argc, char **argv, void *input)
{
    struct error err;
    struct session *session = *(struct session **)input;
    if (argp_parse(argp, argc, argv, 0, NULL, input) != 0)
        exit(EXIT_USAGE);
    if (session->operator_name[0] == '\0')
        name_operator(session);
    if (config_read(settings, SETTING_COUNT, session, &err) != 0) {
        fprintf(stderr, "orderctl: %s\n", err.message);
        exit(EXIT_SETTING);
    }
}

void session_release(struct session *session)
{
    config_release(settings, SETTING_COUNT, session);
}

int api_url_validate(const char *text, struct error *err)
{
    CURLU *url = curl_url();
    char *scheme = NULL, *part = NULL;
    int status = -1;
    if (url == NULL)
        abort();
    if (curl_url_set(url, CURLUPART_URL, text, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0))
        error_set(err, "is not a URL such as http://gateway.example:8080");
    else if (curl_url_get(url, CURLUPART_USER, &part, 0) == CURLUE_OK)
        error_set(err, "has a user; the token is the gateway's only password");
    else if (curl_url_get(url, CURLUPART_QUERY, &part, 0) == CURLUE_OK ||
             curl_url_get(url, CURLUPART_FRAGMENT, &part, 0) == CURLUE_OK)
        error_set(err, "has a query or a fragment");
    else
        status = 0;
    curl_free(part);
    curl_free(scheme);
    curl_url_cleanup(url);
    return status;
}
