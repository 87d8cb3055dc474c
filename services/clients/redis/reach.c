/* redis_reach(), on hiredis' blocking interface. */
#include "services/base/endpoint.h"
#include "services/clients/redis/redis_connection.h"
#include <stdlib.h>

/* Send a command and see whether the answer is no error. */
static int ask(redisContext *context, int argc, const char *argv[], struct error *err)
{
    redisReply *reply = redisCommandArgv(context, argc, argv, NULL);
    int rc = reply != NULL && reply->type != REDIS_REPLY_ERROR ? 0 : -1;
    if (rc != 0)
        error_set(err, "%s", reply != NULL ? reply->str : context->errstr);
    freeReplyObject(reply);
    return rc;
}

int redis_reach(const struct redis_options *options, struct error *err)
{
    const struct timeval timeout = {2, 0};
    struct host_port address;
    if (host_port_parse(options->address, REDIS_PORT, &address, err) != 0)
        return -1;
    redisContext *context = address.port == 0
                                ? redisConnectUnixWithTimeout(address.host, timeout)
                                : redisConnectWithTimeout(address.host, address.port, timeout);
    if (context == NULL)
        abort(); /* out of memory */
    int rc = -1;
    if (context->err != 0) {
        error_set(err, "%s", context->errstr);
    } else {
        const char *name = options->username, *password = options->password;
        const char *auth[] = {"AUTH", name != NULL ? name : password, password};
        redisSetTimeout(context, timeout);
        rc = password != NULL ? ask(context, name != NULL ? 3 : 2, auth, err) : 0;
        if (rc == 0)
            rc = ask(context, 1, (const char *[]){"PING"}, err);
    }
    redisFree(context);
    return rc;
}
