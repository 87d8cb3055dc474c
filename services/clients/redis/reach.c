/* redis_reach(), on hiredis' blocking interface. */
#include "services/clients/redis/redis_connection.h"
#include "services/clients/redis/tls.h"
#include <stdlib.h>

/* Send a command and see whether the answer is no error. */
static int ask(redisContext *context, int argc, const char *argv[], struct error *err)
{
    redisReply *reply = redisCommandArgv(context, argc, argv, NULL);
    int rc = reply != NULL && reply->type != REDIS_REPLY_ERROR ? 0 : -1;
    if (rc != 0)
        error_set(err, "%s", reply != NULL ? reply->str : redis_error_text(context));
    freeReplyObject(reply);
    return rc;
}

int redis_reach(const struct redis_options *options, struct error *err)
{
    const struct timeval timeout = {2, 0};
    struct host_port address;
    if (redis_address_parse(options->address, &address, err) != 0)
        return -1;
    redisContext *context = address.port == 0
                                ? redisConnectUnixWithTimeout(address.host, timeout)
                                : redisConnectWithTimeout(address.host, address.port, timeout);
    if (context == NULL)
        abort(); /* out of memory */
    int rc = -1;
    SSL_CTX *tls = NULL;
    if (context->err == 0)
        redisSetTimeout(context, timeout);
    if (context->err != 0) {
        error_set(err, "%s", context->errstr);
    } else if (!address.tls ||
               redis_tls_begin(&tls, options->ca_file, context, address.host, err) == 0) {
        const char *name = options->username, *password = options->password;
        const char *auth[] = {"AUTH", name != NULL ? name : password, password};
        rc = password != NULL ? ask(context, name != NULL ? 3 : 2, auth, err) : 0;
        if (rc == 0)
            rc = ask(context, 1, (const char *[]){"PING"}, err);
    }
    redisFree(context);
    SSL_CTX_free(tls);
    return rc;
}
