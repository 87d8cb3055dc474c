/* The private RabbitMQ of a test program. */
#include "tests/unit/clients/rabbitmq/rabbitmq_server.h"
#include "services/clients/rabbitmq/connection.h"
#include "tests/unit/support/loopback.h"
#include "tests/unit/support/server_process.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct {
    char folder[SERVER_FOLDER_SIZE];
    uint16_t port, tls_port, dist_port, epmd_port;
    char url[128], tls_url[128], ca_file[128], other_ca_file[128];
} server;

static void must(int ok, const char *what)
{
    if (!ok) {
        perror(what);
        abort();
    }
}

__attribute__((format(printf, 1, 2))) static void run(const char *format, ...)
{
    char command[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    if (system(command) != 0) {
        (void)fprintf(stderr, "failed: %s\n", command);
        abort();
    }
}

static void set_environment(const char *name, const char *value)
{
    must(setenv(name, value, 1) == 0, name);
}

static void set_environment_port(const char *name, uint16_t port)
{
    char text[8];
    (void)snprintf(text, sizeof text, "%u", (unsigned)port);
    set_environment(name, text);
}

static void sign_certificate(const char *folder, const char *ca)
{
    run("cd %s && openssl x509 -req -in server.csr -CA %s.pem -CAkey %s.key -CAcreateserial -days "
        "2 "
        "-extfile server.ext -out server.pem 2>>openssl.log",
        folder, ca, ca);
}

static void make_certificates(const char *folder)
{
    static const char new_key[] = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for (int i = 0; i < 2; i++) {
        const char *ca = i == 0 ? "ca" : "other_ca";
        run("openssl req -x509 %s -days 2 -subj /CN=%s -keyout %s/%s.key -out %s/%s.pem "
            "2>>%s/openssl.log",
            new_key, ca, folder, ca, folder, ca, folder);
    }
    run("openssl req %s -subj /CN=localhost -keyout %s/server.key -out %s/server.csr "
        "2>>%s/openssl.log && "
        "printf subjectAltName=DNS:localhost,DNS:found.test > %s/server.ext",
        new_key, folder, folder, folder, folder);
    sign_certificate(folder, "ca");
    run("chmod 644 %s/*.key", folder);
}

static void write_configuration(const char *folder)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/rabbitmq.conf", folder);
    FILE *file = fopen(path, "w");
    must(file != NULL, path);
    (void)fprintf(file,
                  "listeners.ssl.default = 127.0.0.1:%u\n"
                  "ssl_options.cacertfile = %s/ca.pem\n"
                  "ssl_options.certfile = %s/server.pem\n"
                  "ssl_options.keyfile = %s/server.key\n"
                  "ssl_options.verify = verify_none\n"
                  "heartbeat = %d\n"
                  "disk_free_limit.absolute = 10MB\n",
                  (unsigned)server.tls_port, folder, folder, folder, RABBITMQ_SERVER_HEARTBEAT_S);
    must(fclose(file) == 0, path);
    set_environment("RABBITMQ_CONFIG_FILE", path);
    (void)snprintf(path, sizeof path, "%s/enabled_plugins", folder);
    file = fopen(path, "w");
    must(file != NULL, path);
    (void)fputs("[].\n", file);
    must(fclose(file) == 0, path);
    set_environment("RABBITMQ_ENABLED_PLUGINS_FILE", path);
}

/* The port with TLS is opened last. */
static bool ready(void)
{
    struct broker_options options = {.url = server.url, .name = "test"};
    struct error err;
    int fd = broker_reach(&options, &err) == 0 ? loopback_connect(server.tls_port) : -1;
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static struct server_process epmd = {
    .argv = (const char *const[]){"epmd", NULL}, .folder = server.folder, .end_signal = SIGKILL};
static struct server_process broker = {
    .argv = (const char *const[]){"/usr/lib/rabbitmq/bin/rabbitmq-server", NULL},
    .folder = server.folder,
    .end_signal = SIGKILL,
    .ready = ready};

void rabbitmq_server_start(void)
{
    server_folder_make(server.folder, NULL);
    server.port = loopback_free_ports(1);
    server.tls_port = loopback_free_ports(1);
    server.dist_port = loopback_free_ports(1);
    server.epmd_port = loopback_free_ports(1);
    (void)snprintf(server.url, sizeof server.url, "amqp://guest:guest@127.0.0.1:%u/",
                   (unsigned)server.port);
    (void)snprintf(server.ca_file, sizeof server.ca_file, "%s/ca.pem", server.folder);
    (void)snprintf(server.other_ca_file, sizeof server.other_ca_file, "%s/other_ca.pem",
                   server.folder);
    make_certificates(server.folder);
    write_configuration(server.folder);

    set_environment("HOME", server.folder); /* the Erlang cookie */
    set_environment("RABBITMQ_NODENAME", "test@localhost");
    set_environment("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1");
    set_environment_port("RABBITMQ_NODE_PORT", server.port);
    set_environment_port("RABBITMQ_DIST_PORT", server.dist_port);
    set_environment_port("ERL_EPMD_PORT", server.epmd_port);
    set_environment("ERL_EPMD_ADDRESS", "127.0.0.1");
    set_environment("RABBITMQ_MNESIA_BASE", server.folder);
    set_environment("RABBITMQ_LOG_BASE", server.folder);
    set_environment("RABBITMQ_CONF_ENV_FILE", "/dev/null");
    set_environment("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+sbwt none");
    /* The script becomes the server then, instead of waiting for a server as its child. */
    set_environment("RUNNING_UNDER_SYSTEMD", "1");
    server_process_start(&epmd);
    server_process_start(&broker);
}

void rabbitmq_server_stop(void)
{
    server_process_end(&broker, SIGKILL);
    server_process_end(&epmd, SIGKILL);
    server_folder_remove(server.folder);
}

const char *rabbitmq_server_url(void)
{
    return server.url;
}

uint16_t rabbitmq_server_port(void)
{
    return server.port;
}

const char *rabbitmq_server_tls_url(const char *host)
{
    (void)snprintf(server.tls_url, sizeof server.tls_url, "amqps://guest:guest@%s:%u/", host,
                   (unsigned)server.tls_port);
    return server.tls_url;
}

const char *rabbitmq_server_ca_file(void)
{
    return server.ca_file;
}

const char *rabbitmq_server_other_ca_file(void)
{
    return server.other_ca_file;
}

void rabbitmq_server_renew(bool by_other_ca)
{
    sign_certificate(server.folder, by_other_ca ? "other_ca" : "ca");
    rabbitmq_server_ctl("eval 'ssl:clear_pem_cache().'"); /* else within two minutes */
}

void rabbitmq_server_ctl(const char *arguments)
{
    run("/usr/lib/rabbitmq/bin/rabbitmqctl >>%s/ctl.log 2>&1 -q %s", server.folder, arguments);
}
