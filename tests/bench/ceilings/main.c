#include "proto/timestamp.h"
#include "services/base/clock.h"
#include "tests/bench/ceilings/ceilings.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const char usage[] = "Usage: ceilings publish QUEUE quorum|classic WINDOW COUNT\n"
                            "                consume QUEUE COUNT\n"
                            "                insert COUNT\n"
                            "                bulk INDEX COUNT\n"
                            "                look-up INDEX CONNECTIONS IDS COUNT\n"
                            "                calibrate COUNT\n"
                            "Servers: RABBITMQ_URL, POSTGRES_DSN, ELASTICSEARCH_URL. COUNT is a "
                            "multiple of 500 for insert\n"
                            "and bulk. Prints one line of JSON.\n";

void die(const char *doing, const char *why)
{
    fprintf(stderr, "ceilings: %s: %s\n", doing, why);
    exit(1);
}

const char *setting(const char *name)
{
    const char *value = getenv(name);
    if (!value)
        die(name, "not set");
    return value;
}

void make_order(struct order *order, long number)
{
    static const char *const products[] = {"Laptop",  "Phone",        "Keyboard",
                                           "Monitor", "Office chair", "Standing desk"};
    char name[64];
    int len = snprintf(name, sizeof(name), "%s number %ld", products[number % 6], number);
    order->created_at_us = timestamp_now_us();
    order->id = order_id_new(order->created_at_us / 1000);
    order->amount_cents = 100 + number % 100000;
    order_set_name(order, name, (size_t)len);
}

/* Work of a fixed size, `count` times: 1,000 steps that each need the result of the step before.
 * What a processor takes for it tells how its clock stands to that of another hour or machine. */
static void calibrate(long count)
{
    uint64_t state = 88172645463325252;
    for (long i = 0; i < count * 1000; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    if (state == 0) /* never; but the compiler has to do the work to know it */
        die("calibrate", "no state");
}

static long positive(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < 1 || value > 100000000)
        die(text, "not a number from 1 to 100000000");
    return value;
}

static double cpu_seconds(void)
{
    struct rusage used;
    (void)getrusage(RUSAGE_SELF, &used); /* cannot fail */
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static int misused(void)
{
    fputs(usage, stderr);
    return 64;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return misused();
    long count = positive(argv[argc - 1]);
    struct latency latency = {0};
    int64_t started_us = clock_monotonic_us();
    if (strcmp(argv[1], "publish") == 0 && argc == 6)
        latency = publish_confirmed(argv[2], argv[3], positive(argv[4]), count);
    else if (strcmp(argv[1], "consume") == 0 && argc == 4)
        consume_acknowledged(argv[2], count);
    else if (strcmp(argv[1], "insert") == 0 && argc == 3)
        insert_batches(count);
    else if (strcmp(argv[1], "bulk") == 0 && argc == 4)
        bulk_batches(argv[2], count);
    else if (strcmp(argv[1], "look-up") == 0 && argc == 6)
        latency = look_up(argv[2], positive(argv[3]), positive(argv[4]), count);
    else if (strcmp(argv[1], "calibrate") == 0 && argc == 3)
        calibrate(count);
    else
        return misused();
    double seconds = (double)(clock_monotonic_us() - started_us) / 1e6;
    printf("{\"per_second\":%.1f,\"seconds\":%.3f,\"cpu_seconds\":%.3f,\"p50_ms\":%.3f,"
           "\"p99_ms\":%.3f}\n",
           (double)count / seconds, seconds, cpu_seconds(), latency.p50_ms, latency.p99_ms);
    return 0;
}
