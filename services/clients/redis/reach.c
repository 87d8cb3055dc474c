/* redis_reach(), on hiredis' blocking interface. */
#include "services/clients/redis/redis_connection.h"
#include "services/clients/redis/redis_login.h"
#include "services/clients/redis/tls.h"
#include "services/loop/name_lookup.h"
#include <stdlib.h>

/* Send a command and see whether the answer is no error. */
static int ask(redisContext *context, const struct redis_word *words, size_t count,
               struct error *err)
{
    struct command_text text = {0};
    void *answer = NULL;
    size_t len = command_text_write(&text, words, count);
    if (redisAppendFormattedCommand(context, text.bytes, len) == REDIS_OK)
        (void)redisGetReply(context, &answer); /* on failure there is none */
    command_text_release(&text);
    redisReply *reply = answer;
    int rc = reply != NULL && reply->type != REDIS_REPLY_ERROR ? 0 : -1;
    if (rc != 0)
        error_set(err, "%s", reply != NULL ? reply->str : redis_error_text(context));
    freeReplyObject(reply);
    return rc;
}

static int log_in(redisContext *context, const struct redis_options *options, struct error *err)
{
    struct redis_login_command login[REDIS_LOGIN_COMMANDS];
    size_t count = redis_login(options, login);
    for (size_t i = 0; i < count; i++)
        if (ask(context, login[i].words, login[i].count, err) != 0)
            return -1;
    return 0;
}

/* At one address of the server's, or at its socket. */
static int reach(const struct redis_options *options, const struct host_port *server,
                 const char *address, struct error *err)
{
    const struct timeval timeout = {2, 0};
    redisContext *context = server->port == 0
                                ? redisConnectUnixWithTimeout(address, timeout)
                                : redisConnectWithTimeout(address, server->port, timeout);
    if (context == NULL)
        abort(); /* out of memory */
    int rc = -1;
    if (context->err == 0)
        redisSetTimeout(context, timeout);
    if (context->err != 0) {
        error_set(err, "%s", context->errstr);
    } else if (!server->tls || redis_tls_begin(options->ca_file, context, server->host, err) == 0) {
        rc = log_in(context, options, err);
    }
    redisFree(context);
    return rc;
}

int redis_reach(const struct redis_options *options, struct error *err)
{
    struct host_port server;
    if (redis_address_parse(options->address, &server, err) != 0)
        return -1;
    if (server.port == 0)
        return reach(options, &server, server.host, err);
    struct name_lookup_result found;
    name_resolve(server.host, &found);
    error_set(err, "%s", found.error.message); /* of use when there is no address */
    int rc = -1;
    for (size_t i = 0; i < found.count && rc != 0; i++)
        rc = reach(options, &server, found.addresses[i], err);
    return rc;
}
