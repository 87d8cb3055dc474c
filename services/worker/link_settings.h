/* Who may be at the other end of a link: the settings that bridge and workers share. */
#ifndef WORKER_LINK_SETTINGS_H
#define WORKER_LINK_SETTINGS_H

#include "services/base/config.h"
#include "services/worker/link_key.h"

struct link_settings {
    char *key; /* NULL: none */
    int auth;  /* enum link_auth */
};

enum link_auth { LINK_AUTH_ON, LINK_AUTH_OFF };

/* The rows of the configuration table; `field` is the service's struct link_settings. */
#define CONFIG_OPTIONS_LINK(type, field)                                                           \
    CONFIG_OPTION("LINK_KEY", CONFIG_SECRET, type, field.key,                                      \
                  .help = "key of the deployment, for tcp:// between bridges and workers: 64 "     \
                          "hexadecimal digits",                                                    \
                  .validate = link_key_validate),                                                  \
        CONFIG_OPTION("LINK_AUTH", CONFIG_CHOICE, type, field.auth, .default_text = "on",          \
                      .help = "off: any address without LINK_KEY, where strangers can take "       \
                              "orders and answer for workers",                                     \
                      .choices = (const char *const[]){                                            \
                          [LINK_AUTH_ON] = "on", [LINK_AUTH_OFF] = "off", NULL})

/* Whether strangers are kept from these endpoints (a list, valid): by the key, because they are
 * numeric addresses of the loopback interface, or by the folder of the socket. Returns 0, or -1
 * with an error that begins with `variable`, or with LINK_AUTH where that contradicts LINK_KEY. */
int link_settings_check(const struct link_settings *settings, const char *variable,
                        const char *endpoints, struct error *err)
    __attribute__((warn_unused_result));

/* The key, in *storage, or NULL when there is none. Logs that strangers are not kept out. */
const struct link_key *link_settings_key(const struct link_settings *settings,
                                         struct link_key *storage);

#endif
