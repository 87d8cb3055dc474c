/* Makes one call fail: preloaded into a service (LD_PRELOAD), it wraps the calls that can fail, and
 * the one that a test has armed fails once, as the system or the library would report it. Or the
 * process is killed there, before or after the call: between two steps of its work.
 *
 * The test and the service share a small file, which FAIL_CONTROL names and which is mapped into
 * both: so a call can be armed before the service starts or at any time while it runs, and a
 * service that carries on serves for the next failure. When a call fails, its stack goes to stderr.
 */
#include "services/clients/rabbitmq/amqp.h"
#include <curl/curl.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <hiredis/async.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zmq.h>

#define STACK_DEPTH 32

enum moment {
    MOMENT_FAILS,  /* the call is not made, and fails */
    MOMENT_BEFORE, /* the process is killed before the call, */
    MOMENT_AFTER,  /* or when it has returned, */
    MOMENT_SENT,   /* or when all that it has queued was sent to PostgreSQL, or when Elasticsearch
                    * has done what was asked, and nobody has read the answer */
};

/* tests/chaos/victim.py has the same layout. */
struct control {
    char call[48];             /* the armed call; set while `left` is 0 */
    char argument[80];         /* only with this in its argument, a statement or the like */
    int_fast64_t moment;       /* what happens */
    atomic_int_fast64_t left;  /* it happens when this comes from 1 to 0; 0: nothing is armed */
    atomic_int_fast64_t fired; /* how often it has happened */
};

static struct control *control;

__attribute__((constructor)) static void map_control(void)
{
    void *stack[1];
    (void)backtrace(stack, 1); /* loads its library now */
    const char *path = getenv("FAIL_CONTROL");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (mapped != MAP_FAILED)
        control = mapped;
}

/* The call of this thread after which the process dies. */
static _Thread_local const char *last_call;

static void die_now(void)
{
    atomic_fetch_add(&control->fired, 1);
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

static bool its_turn(const char *call, const char *argument)
{
    return control != NULL && atomic_load(&control->left) > 0 && strcmp(call, control->call) == 0 &&
           strstr(argument, control->argument) != NULL && atomic_fetch_sub(&control->left, 1) == 1;
}

static bool fails(const char *call, const char *argument)
{
    if (!its_turn(call, argument))
        return false;
    switch ((enum moment)control->moment) {
    case MOMENT_BEFORE:
        die_now();
        break;
    case MOMENT_AFTER:
        last_call = call;
        return false;
    case MOMENT_SENT:
        last_call = strcmp(call, "curl_multi_add_handle") == 0 ? "curl_multi_info_read" : "PQflush";
        return false;
    case MOMENT_FAILS:
        break;
    }
    int saved = errno;
    void *stack[STACK_DEPTH];
    int depth = backtrace(stack, STACK_DEPTH);
    dprintf(STDERR_FILENO, "-- %s fails\n", call);
    backtrace_symbols_fd(stack, depth, STDERR_FILENO);
    errno = saved;
    atomic_fetch_add(&control->fired, 1);
    return true;
}

static void is_over(const char *call)
{
    if (last_call != NULL && strcmp(last_call, call) == 0)
        die_now();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* A wrapper that, when its turn comes, runs `failure` (which sets errno or the like) and returns
 * `result`. The process dies after the call only if `done` holds for what it `returned`. */
#define WRAP_WHOLE(condition, argument, done, type, name, parameters, arguments, failure, result)  \
    type name parameters                                                                           \
    {                                                                                              \
        static __typeof__(&name) real;                                                             \
        if (real == NULL)                                                                          \
            real = REAL(name);                                                                     \
        if ((condition) && fails(#name, argument)) {                                               \
            failure;                                                                               \
            return result;                                                                         \
        }                                                                                          \
        type returned = real arguments;                                                            \
        if (done)                                                                                  \
            is_over(#name);                                                                        \
        return returned;                                                                           \
    }
#define WRAP_IF(condition, type, name, parameters, arguments, failure, result)                     \
    WRAP_WHOLE(condition, "", true, type, name, parameters, arguments, failure, result)
#define WRAP_SAYING(argument, type, name, parameters, arguments, failure, result)                  \
    WRAP_WHOLE(true, argument, true, type, name, parameters, arguments, failure, result)
#define WRAP(type, name, parameters, arguments, failure, result)                                   \
    WRAP_WHOLE(true, "", true, type, name, parameters, arguments, failure, result)

/* Memory: glibc's own, as dlsym() itself allocates. */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);

void *malloc(size_t size)
{
    return fails("malloc", "") ? (errno = ENOMEM, NULL) : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails("calloc", "") ? (errno = ENOMEM, NULL) : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails("realloc", "") ? (errno = ENOMEM, NULL) : __libc_realloc(old, size);
}

/* Resources of the system */

WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol), errno = EMFILE,
     -1)
WRAP(int, accept, (int fd, struct sockaddr *restrict address, socklen_t *restrict len),
     (fd, address, len), errno = EMFILE, -1)
WRAP(int, accept4, (int fd, struct sockaddr *restrict address, socklen_t *restrict len, int flags),
     (fd, address, len, flags), errno = EMFILE, -1)
WRAP(int, eventfd, (unsigned value, int flags), (value, flags), errno = EMFILE, -1)
WRAP(int, epoll_create1, (int flags), (flags), errno = EMFILE, -1)
WRAP(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event),
     (epoll, operation, fd, event), errno = ENOMEM, -1)
WRAP(int, poll, (struct pollfd * fds, nfds_t count, int timeout_ms), (fds, count, timeout_ms),
     errno = ENOMEM, -1)
WRAP(int, timerfd_create, (int clock, int flags), (clock, flags), errno = EMFILE, -1)
WRAP(int, bind, (int fd, const struct sockaddr *address, socklen_t len), (fd, address, len),
     errno = EADDRINUSE, -1)
WRAP(int, listen, (int fd, int backlog), (fd, backlog), errno = EADDRINUSE, -1)
WRAP(FILE *, fopen, (const char *restrict path, const char *restrict mode), (path, mode),
     errno = EMFILE, NULL)
WRAP(FILE *, open_memstream, (char **text, size_t *size), (text, size), errno = ENOMEM, NULL)
WRAP(int, pthread_create,
     (pthread_t *restrict thread, const pthread_attr_t *restrict attributes, void *(*start)(void *),
      void *restrict arg),
     (thread, attributes, start, arg), (void)0, EAGAIN)

/* Input and output. An eventfd or timerfd cannot fail in this way; a socket is dead afterwards.
 * epoll_wait() is interrupted whenever the process is stopped and goes on. */

static bool is_stream(int fd)
{
    struct stat status;
    return fd > STDERR_FILENO && fstat(fd, &status) == 0 && (status.st_mode & S_IFMT) != 0;
}

static void die(int fd, int cause)
{
    (void)shutdown(fd, SHUT_RDWR);
    errno = cause;
}

WRAP(int, epoll_wait, (int epoll, struct epoll_event *events, int max, int timeout_ms),
     (epoll, events, max, timeout_ms), errno = EINTR, -1)
WRAP(int, connect, (int fd, const struct sockaddr *address, socklen_t len), (fd, address, len),
     errno = ECONNREFUSED, -1)
WRAP_IF(hints == NULL || !(hints->ai_flags & AI_NUMERICHOST), int, getaddrinfo,
        (const char *restrict name, const char *restrict service,
         const struct addrinfo *restrict hints, struct addrinfo **restrict ret_addresses),
        (name, service, hints, ret_addresses), (void)0, EAI_AGAIN)
WRAP_IF(is_stream(fd), ssize_t, read, (int fd, void *buffer, size_t len), (fd, buffer, len),
        die(fd, EIO), -1)
WRAP_IF(is_stream(fd), ssize_t, write, (int fd, const void *buffer, size_t len), (fd, buffer, len),
        die(fd, EPIPE), -1)
WRAP(ssize_t, recv, (int fd, void *buffer, size_t len, int flags), (fd, buffer, len, flags),
     die(fd, ECONNRESET), -1)

/* The gateway and the bridge write messages for RabbitMQ themselves: a frame of the method
 * basic.publish (60, 40) comes first. */
static const char *sent_text(const char *bytes, size_t len)
{
    static const char frame[] = {1, 0, 1}, method[] = {0, 60, 0, 40};
    bool publish = len > 11 && memcmp(bytes, frame, sizeof frame) == 0 &&
                   memcmp(bytes + 7, method, sizeof method) == 0;
    return publish ? "basic.publish" : "";
}

WRAP_SAYING(sent_text(buffer, len), ssize_t, send,
            (int fd, const void *buffer, size_t len, int flags), (fd, buffer, len, flags),
            die(fd, ECONNRESET), -1)
WRAP(ssize_t, writev, (int fd, const struct iovec *vector, int count), (fd, vector, count),
     die(fd, EPIPE), -1)

/* PostgreSQL. Prepared statements go by names, which are digests of what they say. */

#define STATEMENTS_MAX 256

static struct {
    char name[64], sql[4096];
} statements[STATEMENTS_MAX];
static pthread_mutex_t statements_lock = PTHREAD_MUTEX_INITIALIZER;

static size_t find_statement(const char *name)
{
    size_t i = 0;
    while (i < STATEMENTS_MAX - 1 && statements[i].name[0] != '\0' &&
           strcmp(statements[i].name, name) != 0)
        i++;
    return i;
}

static const char *remember_statement(const char *name, const char *sql)
{
    if (control == NULL)
        return sql;
    pthread_mutex_lock(&statements_lock);
    size_t i = find_statement(name);
    if (statements[i].name[0] == '\0') {
        snprintf(statements[i].sql, sizeof statements[i].sql, "%s", sql);
        snprintf(statements[i].name, sizeof statements[i].name, "%s", name);
    }
    pthread_mutex_unlock(&statements_lock);
    return sql;
}

static const char *remembered_statement(const char *name)
{
    if (control == NULL)
        return "";
    pthread_mutex_lock(&statements_lock);
    const char *sql = statements[find_statement(name)].sql;
    pthread_mutex_unlock(&statements_lock);
    return sql;
}

WRAP(PGconn *, PQconnectdbParams,
     (const char *const *keywords, const char *const *values, int expand),
     (keywords, values, expand), (void)0, NULL)
WRAP_SAYING(sql, PGresult *, PQexec, (PGconn * connection, const char *sql), (connection, sql),
            (void)0, NULL)
WRAP_SAYING(sql, PGresult *, PQexecParams,
            (PGconn * connection, const char *sql, int count, const Oid *types,
             const char *const *values, const int *lengths, const int *formats, int result_format),
            (connection, sql, count, types, values, lengths, formats, result_format), (void)0, NULL)
WRAP(int, PQsetnonblocking, (PGconn * connection, int on), (connection, on), (void)0, -1)
WRAP(int, PQenterPipelineMode, (PGconn * connection), (connection), (void)0, 0)
WRAP_SAYING(remember_statement(name, sql), int, PQsendPrepare,
            (PGconn * connection, const char *name, const char *sql, int count, const Oid *types),
            (connection, name, sql, count, types), (void)0, 0)
WRAP_SAYING(sql, int, PQsendQueryParams,
            (PGconn * connection, const char *sql, int count, const Oid *types,
             const char *const *values, const int *lengths, const int *formats, int result_format),
            (connection, sql, count, types, values, lengths, formats, result_format), (void)0, 0)
WRAP_SAYING(remembered_statement(name), int, PQsendQueryPrepared,
            (PGconn * connection, const char *name, int count, const char *const *values,
             const int *lengths, const int *formats, int result_format),
            (connection, name, count, values, lengths, formats, result_format), (void)0, 0)
WRAP(int, PQpipelineSync, (PGconn * connection), (connection), (void)0, 0)
WRAP_WHOLE(true, "", returned == 0, int, PQflush, (PGconn * connection), (connection), (void)0, -1)
WRAP(int, PQconsumeInput, (PGconn * connection), (connection), (void)0, 0)

/* Elasticsearch. A request goes by its method and URL, which are set just before it is added. */

static _Thread_local char request_method[16], request_url[512];
static _Thread_local CURL *last_request;

static const char *request_text(void)
{
    static _Thread_local char text[sizeof request_method + sizeof request_url];
    snprintf(text, sizeof text, "%s %s", request_method, request_url);
    return text;
}

WRAP(CURL *, curl_easy_init, (void), (), (void)0, NULL)
WRAP(CURLM *, curl_multi_init, (void), (), (void)0, NULL)
WRAP(struct curl_slist *, curl_slist_append, (struct curl_slist * list, const char *text),
     (list, text), (void)0, NULL)

CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy)
{
    static __typeof__(&curl_multi_add_handle) real;
    if (real == NULL)
        real = REAL(curl_multi_add_handle);
    bool was_armed = last_call != NULL;
    if (fails("curl_multi_add_handle", request_text()))
        return CURLM_OUT_OF_MEMORY;
    if (!was_armed && last_call != NULL)
        last_request = easy;
    CURLMcode returned = real(multi, easy);
    is_over("curl_multi_add_handle");
    return returned;
}

CURLMsg *curl_multi_info_read(CURLM *multi, int *left)
{
    static __typeof__(&curl_multi_info_read) real;
    if (real == NULL)
        real = REAL(curl_multi_info_read);
    CURLMsg *message = real(multi, left);
    if (message != NULL && message->easy_handle == last_request)
        is_over("curl_multi_info_read");
    return message;
}

#undef curl_easy_setopt
CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
    static __typeof__(&curl_easy_setopt) real;
    if (real == NULL)
        real = REAL(curl_easy_setopt);
    va_list args;
    va_start(args, option);
    void *argument = va_arg(args, void *); /* pointers and longs are passed alike */
    va_end(args);
    if (option == CURLOPT_CUSTOMREQUEST)
        snprintf(request_method, sizeof request_method, "%s", (const char *)argument);
    if (option == CURLOPT_URL)
        snprintf(request_url, sizeof request_url, "%s", (const char *)argument);
    return fails("curl_easy_setopt", "") ? CURLE_OUT_OF_MEMORY : real(easy, option, argument);
}

/* RabbitMQ */

WRAP(int, amqp_socket_open_noblock,
     (amqp_socket_t * socket, const char *host, int port, const struct timeval *timeout),
     (socket, host, port, timeout), (void)0, AMQP_STATUS_SOCKET_ERROR)
WRAP(int, amqp_basic_ack,
     (amqp_connection_state_t state, amqp_channel_t channel, uint64_t delivery_tag,
      amqp_boolean_t multiple),
     (state, channel, delivery_tag, multiple), (void)0, AMQP_STATUS_SOCKET_ERROR)
WRAP(int, amqp_basic_nack,
     (amqp_connection_state_t state, amqp_channel_t channel, uint64_t delivery_tag,
      amqp_boolean_t multiple, amqp_boolean_t requeue),
     (state, channel, delivery_tag, multiple, requeue), (void)0, AMQP_STATUS_SOCKET_ERROR)
WRAP(int, amqp_send_frame, (amqp_connection_state_t state, const amqp_frame_t *frame),
     (state, frame), (void)0, AMQP_STATUS_SOCKET_ERROR)
WRAP(int, amqp_send_method,
     (amqp_connection_state_t state, amqp_channel_t channel, amqp_method_number_t id,
      void *decoded),
     (state, channel, id, decoded), (void)0, AMQP_STATUS_SOCKET_ERROR)
WRAP(int, amqp_simple_wait_frame_noblock,
     (amqp_connection_state_t state, amqp_frame_t *frame, const struct timeval *timeout),
     (state, frame, timeout), (void)0, AMQP_STATUS_CONNECTION_CLOSED)

/* Redis: the words of a command, such as "SET order:… {…} EX 30". Between them, on the wire, stand
 * their lengths. */

static const char *command_text(const char *command, size_t len)
{
    static _Thread_local char text[256];
    size_t used = 0;
    bool is_word = false;
    for (size_t i = 0; i < len && used < sizeof text - 1; i++) {
        if (i == 0 || command[i - 1] == '\n')
            is_word = command[i] != '*' && command[i] != '$';
        if (is_word && command[i] != '\n')
            text[used++] = command[i] == '\r' ? ' ' : command[i];
    }
    text[used] = '\0';
    return text;
}

WRAP(redisAsyncContext *, redisAsyncConnect, (const char *ip, int port), (ip, port), (void)0, NULL)
WRAP_SAYING(command_text(command, len), int, redisAsyncFormattedCommand,
            (redisAsyncContext * context, redisCallbackFn *callback, void *arg, const char *command,
             size_t len),
            (context, callback, arg, command, len), (void)0, REDIS_ERR)

/* ZeroMQ: nobody there to take it. A pair of sockets within a process always takes it. */

static bool is_link(void *socket)
{
    int type = ZMQ_PAIR;
    size_t size = sizeof type;
    return zmq_getsockopt(socket, ZMQ_TYPE, &type, &size) == 0 && type != ZMQ_PAIR;
}

WRAP_IF(is_link(socket), int, zmq_send, (void *socket, const void *bytes, size_t len, int flags),
        (socket, bytes, len, flags), errno = EAGAIN, -1)
WRAP_IF(is_link(socket), int, zmq_msg_send, (zmq_msg_t * message, void *socket, int flags),
        (message, socket, flags), errno = EAGAIN, -1)
/* libzmq 4.3 keeps so many bytes within a message and allocates nothing: it cannot fail. Its own
 * monitor, which puts the whole name of a link into a message, does not look whether it could. */
#define ZMQ_SMALL_BYTES 33

static bool is_libzmq(const void *caller)
{
    Dl_info info;
    return dladdr(caller, &info) != 0 && strstr(info.dli_fname, "libzmq") != NULL;
}

WRAP_IF(size > ZMQ_SMALL_BYTES && !is_libzmq(__builtin_return_address(0)), int, zmq_msg_init_size,
        (zmq_msg_t * message, size_t size), (message, size), errno = ENOMEM, -1)
