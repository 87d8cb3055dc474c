/* What all commands share: where the gateway is, who asks, how to print. It comes from options and
 * from the environment. */
#ifndef ORDERCTL_SESSION_H
#define ORDERCTL_SESSION_H

#include "proto/error.h"
#include <argp.h>
#include <stdbool.h>

struct session {
    char *api;        /* http[s]://host[:port][/prefix] */
    char *ca_file;    /* or NULL: the system's authorities */
    char *token;      /* or NULL */
    char *read_token; /* or NULL */
    char operator_name[101];
    bool json; /* print the API's JSON */
};

/* The options that every command takes: a child of its own argp, with the session as its input. */
extern const struct argp session_argp;

extern const struct argp_child session_children[];

/* Parse the arguments of a command, then read from the environment what they leave open. Ends the
 * program when either fails. `argp` has session_children; the first member of `input` is a pointer
 * to the session, and at ARGP_KEY_INIT its parser sets child_inputs[0] to the session. */
void session_parse(const struct argp *argp, int argc, char **argv, void *input);

void session_release(struct session *session);

/* For the rows of settings. */
int api_url_validate(const char *url, struct error *err);

#endif
