/* RFC 3339 by hand: strptime() and strftime() know no fractions, and this is on the path of every
 * order. timegm() costs a parse three times as much, and gmtime_r() a format twice. Days are
 * counted in the proleptic Gregorian calendar with years that begin in March, so that the leap day
 * is a year's last (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"). */
#include "proto/timestamp.h"
#include <assert.h>
#include <stdbool.h>
#include <time.h>

#define US_PER_SECOND INT64_C(1000000)
#define SECONDS_PER_DAY 86400

int64_t timestamp_now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return now.tv_sec * US_PER_SECOND + now.tv_nsec / 1000;
}

static int64_t days_from_civil(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year; /* year >= 1, so y >= 0 */
    int era = y / 400;
    int year_of_era = y - era * 400;
    int day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)era * 146097 + day_of_era - 719468;
}

/* The other way round, for days of the years 1 to 9999. */
static void civil_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
    int since = (int)(days + 719468); /* 0000-03-01, so not below zero */
    int era = since / 146097;
    int day_of_era = since % 146097;
    int year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month_from_march = (5 * day_of_year + 2) / 153;
    *ret_day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    *ret_month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    *ret_year = era * 400 + year_of_era + (*ret_month <= 2);
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* `count` digits at *p, which moves past them; -1 when there are not so many. */
static int read_digits(const char **p, const char *end, int count)
{
    int value = 0;
    if (end - *p < count)
        return -1;
    for (int i = 0; i < count; i++) {
        char c = *(*p)++;
        if (c < '0' || c > '9')
            return -1;
        value = value * 10 + (c - '0');
    }
    return value;
}

static bool read_mark(const char **p, const char *end, char mark)
{
    if (*p == end || **p != mark)
        return false;
    (*p)++;
    return true;
}

/* The fraction after its '.', 1 to 9 digits, in µs rounded half up; -1 when it is not one. */
static int64_t read_fraction_us(const char **p, const char *end)
{
    int64_t ns = 0, unit = 100000000;
    if (*p == end || **p < '0' || **p > '9')
        return -1;
    for (; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
        if (unit == 0)
            return -1;
        ns += (**p - '0') * unit;
        unit /= 10;
    }
    return (ns + 500) / 1000;
}

/* "Z" or "+hh:mm", up to the end of the text. */
static bool read_offset_seconds(const char **p, const char *end, int64_t *ret_seconds)
{
    if (*p == end)
        return false;
    char sign = *(*p)++;
    if (sign == 'Z' || sign == 'z') {
        *ret_seconds = 0;
        return *p == end;
    }
    int hours = read_digits(p, end, 2);
    if ((sign != '+' && sign != '-') || hours < 0 || hours > 23 || !read_mark(p, end, ':'))
        return false;
    int minutes = read_digits(p, end, 2);
    if (minutes < 0 || minutes > 59)
        return false;
    int64_t seconds = hours * 3600 + minutes * 60;
    *ret_seconds = sign == '-' ? -seconds : seconds;
    return *p == end;
}

int timestamp_parse(const char *text, size_t len, int64_t *ret_us)
{
    const char *p = text, *const end = text + len;

    int year = read_digits(&p, end, 4);
    if (year < 1 || !read_mark(&p, end, '-'))
        return -1;
    int month = read_digits(&p, end, 2);
    if (month < 1 || month > 12 || !read_mark(&p, end, '-'))
        return -1;
    int day = read_digits(&p, end, 2);
    if (day < 1 || day > days_in_month(year, month))
        return -1;
    if (!read_mark(&p, end, 'T') && !read_mark(&p, end, 't'))
        return -1;
    int hour = read_digits(&p, end, 2);
    if (hour < 0 || hour > 23 || !read_mark(&p, end, ':'))
        return -1;
    int minute = read_digits(&p, end, 2);
    if (minute < 0 || minute > 59 || !read_mark(&p, end, ':'))
        return -1;
    int second = read_digits(&p, end, 2); /* no leap seconds: PostgreSQL and Go have none either */
    if (second < 0 || second > 59)
        return -1;

    int64_t fraction_us = 0, offset_seconds;
    if (read_mark(&p, end, '.'))
        fraction_us = read_fraction_us(&p, end);
    if (fraction_us < 0 || !read_offset_seconds(&p, end, &offset_seconds))
        return -1;

    int64_t seconds = days_from_civil(year, month, day) * SECONDS_PER_DAY + hour * 3600 +
                      minute * 60 + second - offset_seconds;
    int64_t us = seconds * US_PER_SECOND + fraction_us;
    if (us < TIMESTAMP_MIN_US || us > TIMESTAMP_MAX_US) /* left the years by offset or rounding */
        return -1;
    *ret_us = us;
    return 0;
}

/* Two digits of 0 to 99. */
static char *write_pair(char *p, unsigned value)
{
    p[0] = (char)('0' + value / 10);
    p[1] = (char)('0' + value % 10);
    return p + 2;
}

size_t timestamp_format(int64_t us, char text[TIMESTAMP_TEXT_SIZE])
{
    assert(us >= TIMESTAMP_MIN_US && us <= TIMESTAMP_MAX_US);

    int64_t seconds = us / US_PER_SECOND;
    int64_t fraction = us - seconds * US_PER_SECOND;
    if (fraction < 0) {
        fraction += US_PER_SECOND;
        seconds--;
    }
    int64_t days = seconds / SECONDS_PER_DAY;
    int second_of_day = (int)(seconds - days * SECONDS_PER_DAY);
    if (second_of_day < 0) {
        second_of_day += SECONDS_PER_DAY;
        days--;
    }
    int year, month, day;
    civil_from_days(days, &year, &month, &day);

    unsigned minute_of_day = (unsigned)second_of_day / 60;
    char *p = write_pair(text, (unsigned)year / 100);
    p = write_pair(p, (unsigned)year % 100);
    *p++ = '-';
    p = write_pair(p, (unsigned)month);
    *p++ = '-';
    p = write_pair(p, (unsigned)day);
    *p++ = 'T';
    p = write_pair(p, minute_of_day / 60);
    *p++ = ':';
    p = write_pair(p, minute_of_day % 60);
    *p++ = ':';
    p = write_pair(p, (unsigned)second_of_day % 60);
    if (fraction != 0) {
        unsigned us_left = (unsigned)fraction;
        *p++ = '.';
        p = write_pair(p, us_left / 10000);
        p = write_pair(p, us_left / 100 % 100);
        p = write_pair(p, us_left % 100);
        while (p[-1] == '0')
            p--;
    }
    *p++ = 'Z';
    *p = '\0';
    return (size_t)(p - text);
}
