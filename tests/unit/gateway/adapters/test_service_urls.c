#include "services/gateway/adapters/service_urls.h"
#include "tests/unit/support/cmocka_headers.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct service_urls urls;
static struct error err;

static void test_lists(void **state)
{
    (void)state;
    assert_int_equal(service_urls_read("http://bridge:9101, http://[::1]:9102/\thttp://10.0.0.1:80",
                                       &urls, &err),
                     0);
    assert_int_equal(urls.count, 3);
    assert_string_equal(urls.items[0].address.host, "bridge");
    assert_int_equal(urls.items[0].address.port, 9101);
    assert_string_equal(urls.items[1].text, "http://[::1]:9102");
    assert_string_equal(urls.items[1].address.host, "::1");
    assert_string_equal(urls.items[2].address.host, "10.0.0.1");
}

static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"bridge:9101",
                                        "https://bridge:9101",
                                        "http://bridge",
                                        "http://bridge:0",
                                        "http://bridge:70000",
                                        "http://",
                                        "http:///",
                                        "http://bridge:9101/readyz",
                                        "http://user:password@bridge:9101",
                                        "http://unix:/run/x",
                                        "http://rediss://bridge:9101",
                                        "http://good:1,bad",
                                        "relative/path",
                                        "/nowhere/at/all"};
    urls.count = 77;
    for (size_t i = 0; i < COUNT(texts); i++) {
        assert_int_equal(service_urls_read(texts[i], &urls, &err), -1);
        assert_int_equal(service_urls_validate(texts[i], &err), -1);
        assert_null(strstr(err.message, "bridge")); /* the value is not quoted */
    }
    char *many = calloc(1, 100 * 32);
    for (int i = 0; i < 65; i++)
        (void)snprintf(many + strlen(many), 32, "http://h:%d,", i + 1);
    assert_int_equal(service_urls_read(many, &urls, &err), -1);
    free(many);
    assert_int_equal(urls.count, 77);
}

static void write_file(const char *path, const char *text, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static void test_files(void **state)
{
    (void)state;
    char path[] = "/tmp/service_urls.XXXXXX";
    int fd = mkstemp(path);
    assert_int_not_equal(fd, -1);
    close(fd);
    assert_int_equal(service_urls_read(path, &urls, &err), 0); /* empty: no service */
    assert_int_equal(urls.count, 0);
    static const char text[] = "# the services\nhttp://a:1 # one\r\n\nhttp://b:2\nhttp://c:3";
    write_file(path, text, sizeof(text) - 1);
    assert_int_equal(service_urls_read(path, &urls, &err), 0);
    assert_int_equal(urls.count, 3);
    assert_string_equal(urls.items[2].text, "http://c:3");
    write_file(path, "http://a:1\0", 11);
    assert_int_equal(service_urls_read(path, &urls, &err), -1);
    char *large = malloc(70000);
    memset(large, '\n', 70000);
    write_file(path, large, 70000);
    free(large);
    assert_int_equal(service_urls_read(path, &urls, &err), -1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes to it */
    assert_int_equal(service_urls_read(path, &urls, &err), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(service_urls_read(path, &urls, &err), -1);
    assert_int_equal(rmdir(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lists), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
