/* orderctl submit: orders from a file. Nothing is remembered between two runs: each record has the
 * same Idempotency-Key in every run, so a run that was killed is simply repeated. */
#include "services/base/clock.h"
#include "services/base/config.h"
#include "services/base/json_text.h"
#include "services/base/memory.h"
#include "services/orderctl/arguments.h"
#include "services/orderctl/commands.h"
#include "services/orderctl/exit_code.h"
#include "services/orderctl/fields.h"
#include "services/orderctl/interrupt.h"
#include "services/orderctl/output.h"
#include "services/orderctl/progress.h"
#include "services/orderctl/sender.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARALLEL 16
#define PATIENCE_MS (5 * 60 * 1000)

struct submit {
    struct session *session;
    const char *name; /* of the file, or "-" */
    const char *batch;
    char *refused_name;
    int format; /* -1: by the name */
    size_t parallel;
    int64_t patience_ms;

    FILE *input, *refused;
    struct stat input_stat;
    struct order_file *file;
    uint64_t accepted, refused_count;
    int failed; /* what to end with, when the file of refused orders cannot be written */
};

enum { KEY_FORMAT = 0x400, KEY_REFUSED, KEY_BATCH, KEY_PARALLEL, KEY_PATIENCE };

static const struct argp_option options[] = {
    {"format", KEY_FORMAT, "FORMAT", 0, "ndjson or csv (else by FILE's name)", 0},
    {"batch", KEY_BATCH, "NAME", 0,
     "Records are new orders if their batch has another name (FILE's name without its folder)", 0},
    {"refused", KEY_REFUSED, "FILE", 0, "Where refused records go (FILE.refused)", 0},
    {"parallel", KEY_PARALLEL, "N", 0, "So many requests at once, 1 to 64 (16)", 0},
    {"patience", KEY_PATIENCE, "DURATION", 0,
     "Give up when the gateway has taken nothing for so long (5m)", 0},
    {0},
};

static int format_by_name(const char *name)
{
    static const char refused[] = ".refused";
    size_t len = strlen(name), suffix_len = strlen(refused);
    while (len > suffix_len && memcmp(name + len - suffix_len, refused, suffix_len) == 0)
        len -= suffix_len;
    static const struct {
        const char *suffix;
        enum order_file_format format;
    } known[] = {{".csv", ORDER_FILE_CSV},
                 {".ndjson", ORDER_FILE_NDJSON},
                 {".jsonl", ORDER_FILE_NDJSON},
                 {".json", ORDER_FILE_NDJSON}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        size_t known_len = strlen(known[i].suffix);
        if (len > known_len && memcmp(name + len - known_len, known[i].suffix, known_len) == 0)
            return (int)known[i].format;
    }
    return -1;
}

static void complete(struct submit *submit, struct argp_state *state)
{
    bool is_stdin = strcmp(submit->name, "-") == 0;
    if (submit->format < 0 && (submit->format = format_by_name(submit->name)) < 0)
        argp_error(state, "--format ndjson or --format csv? the name does not tell");
    if (is_stdin && (submit->batch == NULL || submit->refused_name == NULL))
        argp_error(state, "standard input has no name: give --batch NAME and --refused FILE");
    if (submit->batch == NULL)
        submit->batch = basename(submit->name);
    if (submit->refused_name == NULL &&
        asprintf(&submit->refused_name, "%s.refused", submit->name) < 0)
        abort();
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct submit *submit = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = submit->session;
        return 0;
    case KEY_FORMAT:
        if (strcmp(arg, "csv") != 0 && strcmp(arg, "ndjson") != 0)
            argp_error(state, "--format is ndjson or csv");
        submit->format = strcmp(arg, "csv") == 0 ? ORDER_FILE_CSV : ORDER_FILE_NDJSON;
        return 0;
    case KEY_BATCH:
        submit->batch = arg;
        return 0;
    case KEY_REFUSED:
        free(submit->refused_name);
        submit->refused_name = memory_copy_text(arg);
        return 0;
    case KEY_PARALLEL:
        submit->parallel =
            (size_t)argument_number(state, "--parallel", arg, 1, SENDER_PARALLEL_MAX);
        return 0;
    case KEY_PATIENCE:
        if (duration_parse(arg, &submit->patience_ms) != 0)
            argp_error(state, "--patience must be a duration such as 30s or 5m");
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one file at a time");
        submit->name = arg;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which file? - is standard input");
        return 0;
    case ARGP_KEY_SUCCESS:
        complete(submit, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp argp = {
    options,
    parse,
    "FILE",
    "Sends the orders of a file: NDJSON, a {\"product_name\":…,\"amount\":…} a line, or CSV with "
    "these "
    "two columns. A run that was killed is run again: no order is doubled. Two equal lines are two "
    "orders. Lines of the same content at the same place are the same order in every file of that "
    "name: give another day's orders another name, or another --batch.",
    session_children,
    NULL,
    NULL};

/* The file of refused orders */

/* Opened with the first of them; what an earlier run has written goes. */
static bool open_refused(struct submit *submit)
{
    struct stat there;
    int fd = open(submit->refused_name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, 0666);
    size_t len;
    if (fd >= 0 && fstat(fd, &there) == 0 && there.st_dev == submit->input_stat.st_dev &&
        there.st_ino == submit->input_stat.st_ino) {
        fprintf(stderr, "orderctl: %s is the input: give another --refused\n",
                submit->refused_name);
        (void)close(fd);
        return false;
    }
    if (fd >= 0 && S_ISREG(there.st_mode) && ftruncate(fd, 0) != 0) {
        (void)close(fd);
        fd = -1;
    }
    submit->refused = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (submit->refused == NULL) {
        fprintf(stderr, "orderctl: cannot write %s: %s\n", submit->refused_name, strerror(errno));
        return false;
    }
    const char *header = order_file_header(submit->file, &len);
    if (len > 0)
        fprintf(submit->refused, "%.*s\n", (int)len, header);
    return true;
}

/* Not with double quotes: they would begin a field of CSV. */
static void write_reason(FILE *stream, const char *text)
{
    char *copy = memory_copy_text(text);
    for (char *c = copy; *c != '\0'; c++)
        if (*c == '"')
            *c = '\'';
    output_text(stream, copy);
    free(copy);
}

static void refuse(struct submit *submit, const struct order_line *line, const char *title,
                   const char *detail)
{
    submit->refused_count++;
    if (submit->failed != EXIT_GOOD || (submit->refused == NULL && !open_refused(submit))) {
        submit->failed = EXIT_NO_OUTPUT;
        return;
    }
    fprintf(submit->refused, ORDER_FILE_REMARK "%llu: ", (unsigned long long)line->number);
    write_reason(submit->refused, title);
    if (detail != NULL) {
        fputs(": ", submit->refused);
        write_reason(submit->refused, detail);
    }
    fputc('\n', submit->refused);
    (void)fwrite(line->raw, 1, line->raw_len, submit->refused);
    fputc('\n', submit->refused);
    if (fflush(submit->refused) != 0) {
        fprintf(stderr, "orderctl: cannot write %s: %s\n", submit->refused_name, strerror(errno));
        submit->failed = EXIT_NO_OUTPUT;
    }
}

static void on_done(void *arg, const struct order_line *line, const struct answer *answer)
{
    struct submit *submit = arg;
    const char *title = field_text(answer->json, "title");
    if (request_exit_code(answer->status) == EXIT_GOOD)
        submit->accepted++;
    else
        refuse(submit, line, title != NULL ? title : "refused", field_text(answer->json, "detail"));
}

/* The run */

static void show_progress(const struct submit *submit, const struct sender *sender,
                          struct progress *progress)
{
    char text[320];
    int64_t now_ms = clock_monotonic_ms();
    const char *trouble = sender_trouble(sender);
    if (!progress_due(progress, now_ms))
        return;
    int len =
        snprintf(text, sizeof(text), "%llu accepted, %llu refused, %.0f/s",
                 (unsigned long long)submit->accepted, (unsigned long long)submit->refused_count,
                 progress_rate(progress, (double)submit->accepted, now_ms));
    if (trouble != NULL)
        (void)snprintf(text + len, sizeof(text) - (size_t)len, "; waiting: %.200s", trouble);
    progress_show(progress, text, (double)order_file_bytes(submit->file),
                  S_ISREG(submit->input_stat.st_mode) ? (double)submit->input_stat.st_size : 0,
                  now_ms);
}

/* Read into the sender while it has room. Returns 1 while there may be more, 0 at the end of the
 * file, -1 when it cannot be read. */
static int feed(struct submit *submit, struct sender *sender)
{
    struct order_line line;
    struct error err;
    while (sender_has_room(sender)) {
        int got = order_file_next(submit->file, &line, &err);
        if (got < 0 && !interrupt_asked())
            fprintf(stderr, "orderctl: %s: %s\n", submit->name, err.message);
        if (got <= 0)
            return got;
        if (line.body != NULL)
            sender_add(sender, &line, submit->batch);
        else
            refuse(submit, &line, line.reason.message, NULL);
        order_line_release(&line);
        if (submit->failed != EXIT_GOOD)
            break;
    }
    return 1;
}

/* Returns what to end with. */
static int send_all(struct submit *submit)
{
    struct progress progress;
    struct sender *sender =
        sender_new(submit->session, submit->parallel, submit->patience_ms, on_done, submit);
    int code = EXIT_GOOD, more = 1;
    interrupt_watch();
    progress_begin(&progress, 0);
    while (code == EXIT_GOOD && (more == 1 || sender_in_hand(sender) > 0)) {
        if (more == 1)
            more = feed(submit, sender);
        show_progress(submit, sender, &progress);
        code = more < 0 ? EXIT_NO_INPUT : sender_work(sender);
        if (submit->failed != EXIT_GOOD)
            code = submit->failed;
        if (interrupt_asked())
            code = EXIT_INTERRUPTED;
    }
    progress_end(&progress);
    sender_free(sender);
    return code;
}

/* A file's name may be any bytes: those that are no UTF-8 become U+FFFD. */
static json_t *name_json(const char *name)
{
    size_t len = strlen(name);
    char *quoted = memory_take(JSON_TEXT_SIZE(len) + 2);
    quoted[0] = '"';
    size_t end = 1 + json_text_escape(name, len, quoted + 1, JSON_TEXT_SIZE(len));
    quoted[end] = '"';
    json_t *json = json_loadb(quoted, end + 1, JSON_DECODE_ANY, NULL);
    free(quoted);
    return json;
}

static void print_summary(const struct submit *submit, int code, int64_t took_ms)
{
    if (submit->session->json) {
        json_t *json = json_pack(
            "{s:I, s:I, s:b, s:o?}", "accepted", (json_int_t)submit->accepted, "refused",
            (json_int_t)submit->refused_count, "complete", (int)(code == EXIT_GOOD), "refused_file",
            submit->refused_count > 0 ? name_json(submit->refused_name) : NULL);
        output_json(stdout, json, JSON_COMPACT);
        json_decref(json);
        return;
    }
    printf("%llu order%s accepted, %llu refused, in %.1f s.\n",
           (unsigned long long)submit->accepted, submit->accepted == 1 ? "" : "s",
           (unsigned long long)submit->refused_count, (double)took_ms / 1000);
    if (submit->refused_count > 0) {
        fputs("The refused ones are in ", stdout);
        output_text(stdout, submit->refused_name);
        fputs(", each with its reason: correct that file and submit it.\n", stdout);
    }
    if (code != EXIT_GOOD)
        fputs("Not finished. Run the same command again: no order is doubled.\n", stdout);
}

static int run(struct submit *submit)
{
    struct error err;
    if (fstat(fileno(submit->input), &submit->input_stat) != 0 ||
        S_ISDIR(submit->input_stat.st_mode)) {
        fprintf(stderr, "orderctl: %s is not a file of orders\n", submit->name);
        return EXIT_NO_INPUT;
    }
    submit->file = order_file_new(submit->input, (enum order_file_format)submit->format);
    if (order_file_begin(submit->file, &err) != 0) {
        fprintf(stderr, "orderctl: %s: %s\n", submit->name, err.message);
        return EXIT_NO_INPUT;
    }
    int64_t started_ms = clock_monotonic_ms();
    int code = send_all(submit);
    print_summary(submit, code, clock_monotonic_ms() - started_ms);
    return code == EXIT_GOOD && submit->refused_count > 0 ? EXIT_WRONG : code;
}

int submit_command(struct session *session, int argc, char **argv)
{
    struct submit submit = {
        .session = session, .format = -1, .parallel = PARALLEL, .patience_ms = PATIENCE_MS};
    int code = EXIT_NO_INPUT;
    session_parse(&argp, argc, argv, &submit);
    submit.input = strcmp(submit.name, "-") == 0 ? stdin : fopen(submit.name, "re");
    if (submit.input == NULL)
        fprintf(stderr, "orderctl: cannot read %s: %s\n", submit.name, strerror(errno));
    else
        code = run(&submit);
    order_file_free(submit.file);
    if (submit.input != NULL && submit.input != stdin)
        (void)fclose(submit.input);
    if (submit.refused != NULL && fclose(submit.refused) != 0)
        code = EXIT_NO_OUTPUT;
    free(submit.refused_name);
    return code;
}
