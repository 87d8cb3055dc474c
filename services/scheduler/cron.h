/* When to run: a schedule in the form and with the meaning of robfig/cron v3's standard parser
 * (github.com/robfig/cron v3.0.1, parser.go, spec.go, constantdelay.go), daylight saving included:
 * - five fields: minute, hour, day of month, month, day of week, each a list of *, ?, N, N-M, any
 *   of them with /STEP; months and days also by name. Restricted days of month and of week are
 * ORed;
 * - @yearly @annually @monthly @weekly @daily @midnight @hourly, @every DURATION (Go's form, whole
 *   seconds, at least one);
 * - CRON_TZ=ZONE or TZ=ZONE and a blank before either. UTC otherwise, where robfig takes the
 *   process's local time.
 *
 * Zones are libc's, which knows one per process, TZ: the functions below set it to that of the
 * schedule in hand. So one thread alone asks for local times, and the first schedule is parsed
 * before there are others (getenv(3), MT-Safety). */
#ifndef SCHEDULER_CRON_H
#define SCHEDULER_CRON_H

#include "proto/error.h"
#include <stdbool.h>
#include <stdint.h>

#define CRON_TEXT_MAX_BYTES 1024
#define CRON_ZONE_SIZE 128

struct cron {
    int64_t every_s;                                              /* @every; 0 when it has fields */
    uint64_t minutes, hours, days_of_month, months, days_of_week; /* bit N: at N; see CRON_STAR */
    char zone[CRON_ZONE_SIZE];                                    /* as TZ has it, tzset(3) */
};

#define CRON_STAR (UINT64_C(1) << 63) /* in a field: every value, by * or ? */
#define CRON_NEVER INT64_MIN

/* Parse; returns 0, or -1 with `err` set (what is wrong and where) and *ret_cron untouched. */
int cron_parse(const char *text, struct cron *ret_cron, struct error *err)
    __attribute__((warn_unused_result));

/* Make libc's zone that of the schedule. The functions below do it themselves. */
void cron_use_zone(const struct cron *cron);

/* The first instant after `us` at which to run, both in µs since 1970 UTC; CRON_NEVER when there is
 * none within five years. */
int64_t cron_next(const struct cron *cron, int64_t us);

/* The latest instant at or before `us` at which to have run; CRON_NEVER when there is none within
 * five years. For @every, whose instants depend on when they are counted from: a multiple of the
 * duration since 1970. */
int64_t cron_latest(const struct cron *cron, int64_t us);

/* The run's name across replicas, given its instant. Replicas that count @every from different
 * starts share a run when their instants fall between the same multiples of the duration. */
int64_t cron_tick(const struct cron *cron, int64_t us);

#endif
