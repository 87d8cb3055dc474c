#include "services/http/request_head.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>
#include <strings.h>

static struct request_head whole, parts;

static bool same_text(struct request_text a, struct request_text b)
{
    return a.base == b.base && a.len == b.len;
}

/* The verdict does not depend on how the bytes came in. */
static void check_parts(const char *bytes, size_t len, size_t seen, bool complete)
{
    if (request_head_read(bytes, seen, 0, &parts)) {
        REQUIRE(complete && parts.fault == whole.fault);
        REQUIRE(parts.fault != REQUEST_HEAD_FINE || parts.len == whole.len);
        return;
    }
    REQUIRE(request_head_read(bytes, len, seen, &parts) == complete);
    REQUIRE(!complete || parts.fault == whole.fault);
    if (!complete || whole.fault != REQUEST_HEAD_FINE)
        return;
    REQUIRE(parts.len == whole.len && parts.field_count == whole.field_count);
    REQUIRE(same_text(parts.method, whole.method) && same_text(parts.target, whole.target));
    for (size_t i = 0; i < whole.field_count; i++)
        REQUIRE(same_text(parts.fields[i].name, whole.fields[i].name) &&
                same_text(parts.fields[i].value, whole.fields[i].value));
}

static bool has_any(struct request_text text, const char *chars, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memchr(text.base, chars[i], text.len) != NULL)
            return true;
    return false;
}

#define HAS_ANY(text, chars) has_any(text, chars, sizeof(chars) - 1)

static unsigned count_of(const char *name)
{
    unsigned count = 0;
    for (size_t i = 0; i < whole.field_count; i++)
        count += whole.fields[i].name.len == strlen(name) &&
                 strncasecmp(whole.fields[i].name.base, name, strlen(name)) == 0;
    return count;
}

static void check_fine(const char *bytes, size_t len)
{
    REQUIRE(whole.len <= len && whole.len <= REQUEST_HEAD_MAX_BYTES + 2);
    REQUIRE(whole.field_count <= REQUEST_HEAD_MAX_FIELDS);
    REQUIRE(memcmp(bytes + whole.len - 4, "\r\n\r\n", 4) == 0);
    REQUIRE(whole.method.len > 0 && !HAS_ANY(whole.method, "\0\t\r\n :"));
    REQUIRE(whole.target.len > 0 && whole.target.len <= REQUEST_TARGET_MAX_BYTES);
    REQUIRE(!HAS_ANY(whole.target, "\0\t\r\n "));
    for (size_t i = 0; i < whole.field_count; i++) {
        struct request_text name = whole.fields[i].name, value = whole.fields[i].value;
        REQUIRE(name.len > 0 && !HAS_ANY(name, "\0\t\r\n :"));
        REQUIRE(!HAS_ANY(value, "\0\r\n"));
        REQUIRE(value.len == 0 || (value.base[0] > ' ' || value.base[0] < 0));
    }
    REQUIRE(count_of("content-length") + count_of("transfer-encoding") <= 1);
    REQUIRE(whole.chunked == (count_of("transfer-encoding") == 1));
    REQUIRE(!whole.chunked || whole.minor_version == 1);
    REQUIRE(count_of("host") == 1 || (count_of("host") == 0 && whole.minor_version == 0));
    struct request_text path = request_target_path(whole.target);
    REQUIRE(path.len > 0 && !(path.base[0] == '/' && HAS_ANY(path, "?")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    bool complete = request_head_read(bytes, size, 0, &whole);
    if (complete && whole.fault == REQUEST_HEAD_FINE)
        check_fine(bytes, size);
    for (size_t seen = 0; seen < size; seen += 1 + size / 16)
        check_parts(bytes, size, seen, complete);
    return 0;
}
