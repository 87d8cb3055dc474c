/* From text to fields. A reason names the place, never the text: it goes into the log as a
 * configuration error. */
#include "services/scheduler/cron.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define ZONE_FOLDER "/usr/share/zoneinfo/"
#define BLANKS " \t\n\v\f\r"

/* A piece of the text; nothing here is NUL-terminated. */
struct slice {
    const char *start;
    size_t len;
};

struct bounds {
    const char *field;
    uint64_t min, max;
    const char (*names)[4]; /* of min, min + 1, …, max; or NULL */
};

static const char month_names[12][4] = {"jan", "feb", "mar", "apr", "may", "jun",
                                        "jul", "aug", "sep", "oct", "nov", "dec"};
static const char day_names[7][4] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static const struct bounds minutes = {"minute", 0, 59, NULL};
static const struct bounds hours = {"hour", 0, 23, NULL};
static const struct bounds days_of_month = {"day of month", 1, 31, NULL};
static const struct bounds months = {"month", 1, 12, month_names};
static const struct bounds days_of_week = {"day of week", 0, 6, day_names};

static bool equals(struct slice slice, const char *text)
{
    return slice.len == strlen(text) && memcmp(slice.start, text, slice.len) == 0;
}

/* Take what is before the next `separator` off *rest, and the separator too; false when nothing was
 * left. "a,,b," gives "a", "", "b", "". */
static bool take_until(struct slice *rest, char separator, struct slice *ret)
{
    if (rest->start == NULL)
        return false;
    const char *end = memchr(rest->start, separator, rest->len);
    *ret = (struct slice){rest->start, end == NULL ? rest->len : (size_t)(end - rest->start)};
    if (end == NULL)
        *rest = (struct slice){NULL, 0};
    else
        *rest = (struct slice){end + 1, rest->len - ret->len - 1};
    return true;
}

/* strconv.Atoi, without negative numbers. */
static int read_number(struct slice text, uint64_t *ret, struct error *err)
{
    struct slice digits = text;
    uint64_t number = 0;
    if (digits.len > 0 && *digits.start == '+')
        digits = (struct slice){digits.start + 1, digits.len - 1};
    bool good = digits.len > 0;
    for (size_t i = 0; good && i < digits.len; i++) {
        uint64_t digit = (uint64_t)digits.start[i] - '0';
        good = digit <= 9 && number <= (INT64_MAX - digit) / 10;
        number = number * 10 + digit;
    }
    if (!good) {
        error_set(err, "is not a number");
        return -1;
    }
    *ret = number;
    return 0;
}

static int read_value(struct slice text, const struct bounds *bounds, uint64_t *ret,
                      struct error *err)
{
    if (bounds->names != NULL && text.len == 3)
        for (uint64_t value = bounds->min; value <= bounds->max; value++)
            if (strncasecmp(text.start, bounds->names[value - bounds->min], 3) == 0) {
                *ret = value;
                return 0;
            }
    return read_number(text, ret, err);
}

/* * or ? or N or N-M, with or without /STEP. N/STEP means N-max/STEP. As in robfig, what follows
 * the hyphen of "*-M" is not looked at, and a step over 1 makes a star an ordinary range. */
static int read_range(struct slice text, const struct bounds *bounds, uint64_t *ret_bits,
                      struct error *err)
{
    struct slice rest = text, range, part, step_text;
    (void)take_until(&rest, '/', &range); /* there is at least an empty one */
    bool stepped = take_until(&rest, '/', &step_text);
    if (rest.start != NULL) {
        error_set(err, "has too many slashes");
        return -1;
    }

    uint64_t start, end, step = 1, star = 0;
    rest = range;
    (void)take_until(&rest, '-', &part);
    bool single = rest.start == NULL;
    if (equals(part, "*") || equals(part, "?")) {
        start = bounds->min;
        end = bounds->max;
        star = CRON_STAR;
    } else {
        if (read_value(part, bounds, &start, err) != 0)
            return -1;
        end = start;
        if (take_until(&rest, '-', &part) && rest.start != NULL) {
            error_set(err, "has too many hyphens");
            return -1;
        }
        if (!single && read_value(part, bounds, &end, err) != 0)
            return -1;
    }
    if (stepped) {
        if (read_number(step_text, &step, err) != 0)
            return -1;
        if (single)
            end = bounds->max;
        if (step > 1)
            star = 0;
    }

    if (start < bounds->min || end > bounds->max) {
        error_set(err, "is not within %d-%d", (int)bounds->min, (int)bounds->max);
        return -1;
    }
    if (start > end) {
        error_set(err, "begins after its end");
        return -1;
    }
    if (step == 0) {
        error_set(err, "has a step of 0");
        return -1;
    }
    *ret_bits = star;
    for (uint64_t value = start; value <= end; value += step)
        *ret_bits |= UINT64_C(1) << value;
    return 0;
}

/* A list of ranges; empty items do not count, not even when there is nothing else (then the field
 * matches nothing). */
static int read_field(struct slice text, const struct bounds *bounds, uint64_t *ret_bits,
                      struct error *err)
{
    struct slice item;
    uint64_t all = 0, bits;
    for (int place = 1; take_until(&text, ',', &item); place++) {
        struct error reason;
        if (item.len == 0)
            continue;
        if (read_range(item, bounds, &bits, &reason) != 0) {
            error_set(err, "%s: item %d %.150s", bounds->field, place, reason.message);
            return -1;
        }
        all |= bits;
    }
    *ret_bits = all;
    return 0;
}

static int parse_fields(const char *text, struct cron *cron, struct error *err)
{
    struct slice fields[5];
    size_t count = 0;
    for (const char *p = text + strspn(text, BLANKS); *p != '\0'; p += strspn(p, BLANKS), count++) {
        size_t len = strcspn(p, BLANKS);
        if (count < 5)
            fields[count] = (struct slice){p, len};
        p += len;
    }
    if (count != 5) {
        error_set(err, "expected 5 fields, found %zu", count);
        return -1;
    }
    *cron = (struct cron){0};
    return read_field(fields[0], &minutes, &cron->minutes, err) == 0 &&
                   read_field(fields[1], &hours, &cron->hours, err) == 0 &&
                   read_field(fields[2], &days_of_month, &cron->days_of_month, err) == 0 &&
                   read_field(fields[3], &months, &cron->months, err) == 0 &&
                   read_field(fields[4], &days_of_week, &cron->days_of_week, err) == 0
               ? 0
               : -1;
}

/* The nanoseconds of one unit of Go's durations; 0 when there is no such unit. */
static uint64_t unit_ns(struct slice unit)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {{"ns", 1},
                 {"us", 1000},
                 {"\xc2\xb5s", 1000}, /* U+00B5, micro sign */
                 {"\xce\xbcs", 1000}, /* U+03BC, Greek mu */
                 {"ms", 1000000},
                 {"s", 1000000000},
                 {"m", UINT64_C(60000000000)},
                 {"h", UINT64_C(3600000000000)}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (equals(unit, units[i].name))
            return units[i].ns;
    return 0;
}

/* Go's time.ParseDuration: [+-]? (digits? ("." digits?)? unit)+, or 0. Fractions are summed up in
 * double precision, as there. Returns -1 when it is none, or is over 2^63 ns. */
static int parse_duration_ns(const char *text, int64_t *ret_ns)
{
    const uint64_t limit = UINT64_C(1) << 63;
    const char *p = text;
    bool negative = *p == '-';
    if (*p == '-' || *p == '+')
        p++;
    if (strcmp(p, "0") == 0) {
        *ret_ns = 0;
        return 0;
    }
    if (*p == '\0')
        return -1;

    uint64_t total = 0;
    while (*p != '\0') {
        const char *start = p;
        uint64_t whole = 0, fraction = 0;
        double scale = 1;
        for (; *p >= '0' && *p <= '9'; p++) {
            if (whole > limit / 10)
                return -1;
            whole = whole * 10 + (uint64_t)(*p - '0');
            if (whole > limit)
                return -1;
        }
        size_t digits = (size_t)(p - start);
        if (*p == '.') {
            bool full = false; /* more digits change nothing */
            for (p++; *p >= '0' && *p <= '9'; p++, digits++) {
                full = full || fraction > (limit - 1) / 10 ||
                       fraction * 10 + (uint64_t)(*p - '0') > limit;
                if (!full) {
                    fraction = fraction * 10 + (uint64_t)(*p - '0');
                    scale *= 10;
                }
            }
        }
        struct slice unit = {p, strcspn(p, ".0123456789")};
        uint64_t ns = unit_ns(unit);
        if (digits == 0 || ns == 0 || whole > limit / ns)
            return -1;
        p += unit.len;
        whole *= ns;
        if (fraction > 0)
            whole += (uint64_t)((double)fraction * ((double)ns / scale));
        if (whole > limit || total > limit - whole)
            return -1;
        total += whole;
    }
    if (total > limit - (negative ? 0 : 1))
        return -1;
    *ret_ns = negative ? (int64_t)-total : (int64_t)total;
    return 0;
}

static int parse_descriptor(const char *text, struct cron *cron, struct error *err)
{
    static const struct {
        const char *name, *fields;
    } named[] = {
        {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
        {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
        {"@hourly", "0 * * * *"},
    };
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (strcmp(text, named[i].name) == 0)
            return parse_fields(named[i].fields, cron, err);

    static const char every[] = "@every ";
    if (strncmp(text, every, sizeof every - 1) == 0) {
        int64_t ns;
        if (parse_duration_ns(text + sizeof every - 1, &ns) != 0) {
            error_set(err, "@every without a duration such as 1h30m");
            return -1;
        }
        *cron = (struct cron){.every_s = ns < 1000000000 ? 1 : ns / 1000000000};
        return 0;
    }
    error_set(err, "not one of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly, "
                   "@every DURATION");
    return -1;
}

/* Go's time.LoadLocation, and its rules for names. Writes what TZ must be. */
static int find_zone(struct slice name, char *ret_tz, size_t size, struct error *err)
{
    static const char local[] = ":/etc/localtime", utc[] = "UTC0";
    if (name.len == 0 || equals(name, "UTC")) {
        memcpy(ret_tz, utc, sizeof utc);
        return 0;
    }
    if (equals(name, "Local")) {
        memcpy(ret_tz, local, sizeof local);
        return 0;
    }

    /* libc takes a name that it does not know for UTC, so look for the file first. */
    static const char prefix[] = ":" ZONE_FOLDER;
    bool found = false;
    if (name.len + sizeof prefix <= size && *name.start != '/' && *name.start != '\\' &&
        memmem(name.start, name.len, "..", 2) == NULL) {
        char magic[4];
        memcpy(ret_tz, prefix, sizeof prefix - 1);
        memcpy(ret_tz + sizeof prefix - 1, name.start, name.len);
        ret_tz[sizeof prefix - 1 + name.len] = '\0';
        int file = open(ret_tz + 1, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (file >= 0) {
            found = read(file, magic, sizeof magic) == sizeof magic &&
                    memcmp(magic, "TZif", sizeof magic) == 0; /* RFC 8536 */
            (void)close(file);
        }
    }
    if (!found)
        error_set(err, "no such time zone in " ZONE_FOLDER);
    return found ? 0 : -1;
}

int cron_parse(const char *text, struct cron *ret_cron, struct error *err)
{
    char zone_text[CRON_ZONE_SIZE], trimmed[CRON_TEXT_MAX_BYTES + 1];
    struct slice zone = {text, 0};
    size_t len = strlen(text);
    if (len == 0 || len > CRON_TEXT_MAX_BYTES) {
        error_set(err, len == 0 ? "empty schedule" : "schedule of more than %d bytes",
                  CRON_TEXT_MAX_BYTES);
        return -1;
    }

    /* Blanks at the ends are taken only after a zone, as in robfig. */
    memcpy(trimmed, text, len + 1);
    if (strncmp(text, "TZ=", 3) == 0 || strncmp(text, "CRON_TZ=", 8) == 0) {
        zone.start = strchr(text, '=') + 1;
        zone.len = strcspn(zone.start, " ");
        const char *rest = zone.start + zone.len;
        rest += strspn(rest, BLANKS);
        while (len > (size_t)(rest - text) && strchr(BLANKS, text[len - 1]) != NULL)
            len--;
        len -= (size_t)(rest - text);
        memcpy(trimmed, rest, len);
        trimmed[len] = '\0';
    }

    struct cron cron;
    if (find_zone(zone, zone_text, sizeof zone_text, err) != 0 ||
        (trimmed[0] == '@' ? parse_descriptor : parse_fields)(trimmed, &cron, err) != 0)
        return -1;
    strcpy(cron.zone, zone_text);
    cron_use_zone(&cron);
    *ret_cron = cron;
    return 0;
}
