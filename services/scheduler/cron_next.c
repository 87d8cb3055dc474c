/* robfig/cron's SpecSchedule.Next() step by step, on libc's clock where it has Go's: what it does
 * around a change of daylight saving is the sum of these steps, so none is left out or improved.
 * All local times are those of the schedule's zone. */
#include "services/scheduler/cron.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define US_PER_SECOND INT64_C(1000000)
#define YEARS_AHEAD 5

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

void cron_use_zone(const struct cron *cron)
{
    /* The environment keeps this text and no other, so that its array never changes under a thread
     * that looks for another variable. */
    static char entry[3 + CRON_ZONE_SIZE] = "TZ=";
    static bool in_environment;
    char *value = entry + 3;
    if (in_environment && strcmp(value, cron->zone) == 0)
        return;
    strcpy(value, cron->zone);
    if (!in_environment && putenv(entry) != 0)
        abort(); /* out of memory */
    in_environment = true;
    tzset();
}

static struct tm local_time(int64_t seconds)
{
    struct tm tm = {0};
    time_t t = seconds;
    (void)localtime_r(&t, &tm); /* fails only for years beyond int */
    return tm;
}

/* The instant of local fields, those out of range carried over: Go's time.Date(), and its choice
 * where the local time does not exist or exists twice. */
static int64_t instant_of(struct tm fields)
{
    int64_t as_if_utc = timegm(&fields);
    int64_t offset = local_time(as_if_utc).tm_gmtoff;
    offset = local_time(as_if_utc - offset).tm_gmtoff;
    return as_if_utc - offset;
}

struct search {
    const struct cron *cron;
    int64_t seconds;
    struct tm tm;  /* local time of `seconds` */
    bool advanced; /* what is below the field in hand has been set to its beginning */
};

static void move_to(struct search *search, int64_t seconds)
{
    search->seconds = seconds;
    search->tm = local_time(seconds);
}

/* At the first step forward, go back to the beginning of the field in hand; `seconds` is it. */
static void begin_at(struct search *search, int64_t seconds)
{
    if (!search->advanced)
        move_to(search, seconds);
    search->advanced = true;
}

static bool has(uint64_t bits, int value)
{
    return (bits >> value & 1) != 0;
}

static bool day_matches(const struct search *search)
{
    const struct cron *cron = search->cron;
    bool of_month = has(cron->days_of_month, search->tm.tm_mday);
    bool of_week = has(cron->days_of_week, search->tm.tm_wday);
    if (((cron->days_of_month | cron->days_of_week) & CRON_STAR) != 0)
        return of_month && of_week;
    return of_month || of_week;
}

/* Each finds the first value of its field that matches; false when it came round to the field's
 * beginning, so that the larger fields must be looked at again. */

static bool find_month(struct search *search)
{
    while (!has(search->cron->months, search->tm.tm_mon + 1)) {
        struct tm fields = {
            .tm_year = search->tm.tm_year, .tm_mon = search->tm.tm_mon, .tm_mday = 1};
        begin_at(search, instant_of(fields));
        fields = search->tm;
        fields.tm_mon++;
        move_to(search, instant_of(fields));
        if (search->tm.tm_mon == 0)
            return false;
    }
    return true;
}

static bool find_day(struct search *search)
{
    while (!day_matches(search)) {
        struct tm fields = {.tm_year = search->tm.tm_year,
                            .tm_mon = search->tm.tm_mon,
                            .tm_mday = search->tm.tm_mday};
        begin_at(search, instant_of(fields));
        int64_t before = search->seconds;
        fields = search->tm;
        fields.tm_mday++;
        move_to(search, instant_of(fields));
        /* Where midnight does not exist, its neighbour came out. */
        int hour = search->tm.tm_hour;
        if (hour != 0)
            move_to(search, search->seconds + (hour > 12 ? 24 - hour : -hour) * 3600);
        /* Where a whole day does not exist (Pacific/Apia, 2011-12-30), robfig stays for ever. */
        if (search->seconds <= before)
            move_to(search, before + 86400);
        if (search->tm.tm_mday == 1)
            return false;
    }
    return true;
}

static bool find_hour(struct search *search)
{
    while (!has(search->cron->hours, search->tm.tm_hour)) {
        struct tm fields = search->tm;
        fields.tm_min = fields.tm_sec = 0;
        begin_at(search, instant_of(fields));
        move_to(search, search->seconds + 3600);
        if (search->tm.tm_hour == 0)
            return false;
    }
    return true;
}

static bool find_minute(struct search *search)
{
    while (!has(search->cron->minutes, search->tm.tm_min)) {
        begin_at(search, floor_div(search->seconds, 60) * 60);
        move_to(search, search->seconds + 60);
        if (search->tm.tm_min == 0)
            return false;
    }
    return true;
}

/* The field of seconds is always 0. */
static bool find_second(struct search *search)
{
    if (search->tm.tm_sec == 0)
        return true;
    search->advanced = true;
    move_to(search, search->seconds + 60 - search->tm.tm_sec);
    return false;
}

int64_t cron_next(const struct cron *cron, int64_t us)
{
    int64_t seconds = floor_div(us, US_PER_SECOND);
    if (cron->every_s != 0)
        return (seconds + cron->every_s) * US_PER_SECOND;

    /* Lists of commas alone match nothing: no need to look at five years' minutes. */
    if (cron->minutes == 0 || cron->hours == 0 || cron->months == 0)
        return CRON_NEVER;

    cron_use_zone(cron);
    struct search search = {.cron = cron};
    move_to(&search, seconds + 1);
    int last_year = local_time(seconds + 1).tm_year + YEARS_AHEAD;
    while (search.tm.tm_year <= last_year)
        if (find_month(&search) && find_day(&search) && find_hour(&search) &&
            find_minute(&search) && find_second(&search))
            return search.seconds * US_PER_SECOND;
    return CRON_NEVER;
}

int64_t cron_tick(const struct cron *cron, int64_t us)
{
    if (cron->every_s == 0)
        return us;
    return floor_div(us, cron->every_s * US_PER_SECOND) * cron->every_s * US_PER_SECOND;
}

int64_t cron_latest(const struct cron *cron, int64_t us)
{
    if (cron->every_s != 0)
        return cron_tick(cron, us);

    /* The next run after `early` is due by `us`, that after `late` is not. */
    int64_t early = us - INT64_C(5) * 365 * 86400 * US_PER_SECOND, late = us;
    int64_t latest = cron_next(cron, early);
    if (latest == CRON_NEVER || latest > us)
        return CRON_NEVER;
    while (late - early > US_PER_SECOND) {
        int64_t middle = early + (late - early) / 2, next = cron_next(cron, middle);
        if (next != CRON_NEVER && next <= us) {
            early = middle;
            latest = next;
        } else {
            late = middle;
        }
    }
    return latest;
}
