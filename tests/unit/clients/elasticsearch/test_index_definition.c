/* Settings files, and what is sent with them. */
#include "services/clients/elasticsearch/index_definition.h"
#include "tests/unit/support/cmocka_headers.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/test_index_definition-XXXXXX";

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static void assert_json(char *text, const char *expected_text)
{
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_t *expected = json_loads(expected_text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(expected);
    if (!json_equal(json, expected))
        fail_msg("%s\nnot\n%s", text, expected_text);
    json_decref(json);
    json_decref(expected);
    free(text);
}

#define SETTINGS "\"settings\":{\"index.auto_expand_replicas\":\"0-1\"}"
#define PROPERTIES(name, more)                                                                     \
    "\"properties\":{\"id\":{\"type\":\"keyword\",\"index\":false},\"product_name\":" name         \
    ",\"amount\":{\"type\":\"double\"},\"created_at\":{\"type\":\"date\"}" more "}"
#define TEXT "{\"type\":\"text\"}"
#define MAPPINGS(meta) "\"mappings\":{\"dynamic\":false," meta PROPERTIES(TEXT, "") "}"

static struct index_definition *defaults(void)
{
    struct error err;
    struct index_definition *definition = index_definition_new(NULL, &err);
    assert_non_null(definition);
    return definition;
}

static void test_purposes(void **state)
{
    (void)state;
    struct index_definition *definition = defaults();
    assert_json(index_definition_body(definition, &(struct index_purpose){.alias = "orders"}),
                "{" SETTINGS
                "," MAPPINGS("") ",\"aliases\":{\"orders\":{\"is_write_index\":true}}}");
    assert_json(
        index_definition_body(definition, &(struct index_purpose){.alias = "orders-reindex",
                                                                  .deployment = "d",
                                                                  .reindex_job = 17}),
        "{\"settings\":{\"index.refresh_interval\":\"-1\",\"index.auto_expand_replicas\":"
        "\"0-1\"}," MAPPINGS(
            "\"_meta\":{\"deployment\":\"d\",\"reindex\":17},") ",\"aliases\":{\"orders-reindex\":{"
                                                                "\"is_write_index\":true}}}");
    /* what was made before is not in what is made next */
    assert_json(index_definition_body(definition, &(struct index_purpose){.alias = NULL}),
                "{" SETTINGS "," MAPPINGS("") ",\"aliases\":{}}");
    assert_json(index_definition_refresh(definition), "{\"index.refresh_interval\":null}");
    assert_json(index_definition_template(definition, "orders"),
                "{\"index_patterns\":[\"orders\"],\"priority\":500,\"template\":{" SETTINGS
                "," MAPPINGS("") "}}");
    index_definition_free(definition);
}

static void test_files(void **state)
{
    (void)state;
    static const struct {
        const char *file, *settings, *mappings;
    } cases[] = {
        {"{}", SETTINGS, MAPPINGS("")},
        /* each way of writing a setting */
        {"{\"settings\":{\"refresh_interval\":\"5s\",\"index\":{\"number_of_shards\":3},"
         "\"index.codec\":\"best_compression\",\"analysis\":{\"analyzer\":{\"names\":{"
         "\"tokenizer\":\"standard\",\"filter\":[\"lowercase\"]}}}}}",
         "\"settings\":{\"index.refresh_interval\":\"5s\",\"index.number_of_shards\":3,"
         "\"index.codec\":\"best_compression\",\"index.auto_expand_replicas\":\"0-1\","
         "\"index.analysis.analyzer.names.tokenizer\":\"standard\","
         "\"index.analysis.analyzer.names.filter\":[\"lowercase\"]}",
         MAPPINGS("")},
        {"{\"settings\":{\"index\":{\"refresh_interval\":null}}}", SETTINGS, MAPPINGS("")},
        /* a number of replicas counts */
        {"{\"settings\":{\"number_of_replicas\":2}}",
         "\"settings\":{\"index.number_of_replicas\":2}", MAPPINGS("")},
        {"{\"settings\":{\"index.number_of_replicas\":2,\"auto_expand_replicas\":\"0-all\"}}",
         "\"settings\":{\"index.number_of_replicas\":2,"
         "\"index.auto_expand_replicas\":\"0-all\"}",
         MAPPINGS("")},
        /* the mapping, member by member */
        {"{\"mappings\":{\"properties\":{\"product_name\":{\"analyzer\":\"names\"},\"note\":{"
         "\"type\":\"keyword\"}}}}",
         SETTINGS,
         "\"mappings\":{\"dynamic\":false," PROPERTIES("{\"type\":\"text\",\"analyzer\":\"names\"}",
                                                       ",\"note\":{\"type\":\"keyword\"}") "}"},
        {"{\"mappings\":{\"dynamic\":\"strict\"}}", SETTINGS,
         "\"mappings\":{\"dynamic\":\"strict\"," PROPERTIES(TEXT, "") "}"},
        {"{\"mappings\":{\"dynamic\":true,\"properties\":{\"id\":null}}}", SETTINGS,
         "\"mappings\":{\"dynamic\":true,\"properties\":{\"product_name\":" TEXT
         ",\"amount\":{\"type\":\"double\"},\"created_at\":{\"type\":\"date\"}}}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char expected[2048];
        struct error err = {.message = ""};
        write_file(cases[i].file);
        assert_int_equal(index_definition_file_validate(path, &err), 0);
        struct index_definition *definition = index_definition_new(path, &err);
        snprintf(expected, sizeof expected, "{%s,%s,\"aliases\":{}}", cases[i].settings,
                 cases[i].mappings);
        assert_json(index_definition_body(definition, &(struct index_purpose){.alias = NULL}),
                    expected);
        index_definition_free(definition);
    }
}

/* The file's own comes after the index is built; the server's default, when it has none. */
static void test_refresh_interval(void **state)
{
    (void)state;
    static const char *const files[][2] = {
        {"{\"settings\":{\"refresh_interval\":\"1s\"}}", "{\"index.refresh_interval\":\"1s\"}"},
        {"{\"settings\":{\"refresh_interval\":null}}", "{\"index.refresh_interval\":null}"},
    };
    for (size_t i = 0; i < COUNT(files); i++) {
        struct error err;
        write_file(files[i][0]);
        struct index_definition *definition = index_definition_new(path, &err);
        assert_json(index_definition_refresh(definition), files[i][1]);
        index_definition_free(definition);
    }
}

#define MAPPED(properties) "{\"mappings\":{\"properties\":{" properties "}}}"

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *file, *fault;
    } cases[] = {
        {"", "line 1 of the file is not JSON: "},
        {"{\n\"settings\":{},\n}", "line 3 of the file is not JSON: "},
        {"{\"settings\":{\"a\":1,\"a\":2}}", "line 1 of the file is not JSON: duplicate"},
        {"\xef\xbb\xbf{}", "line 1 of the file is not JSON: "},
        {"[]", "the file is not a JSON object"},
        {"{\"aliases\":{}}", "the file may have settings and mappings, not aliases"},
        {"{\"settings\":[]}", "settings in the file is not an object"},
        {"{\"mappings\":null}", "mappings in the file is not an object"},
        {"{\"mappings\":{\"_source\":{\"enabled\":false}}}",
         "_source in the mapping of the file cannot be set"},
        {"{\"mappings\":{\"_routing\":{\"required\":true}}}",
         "_routing in the mapping of the file cannot be set"},
        {"{\"mappings\":{\"_meta\":{}}}", "_meta in the mapping of the file cannot be set"},
        /* the rule of a look */
        {MAPPED("\"amount\":{\"type\":\"long\"}"),
         "the mapping does not fit: amount is long, not double"},
        {MAPPED("\"product_name\":null"), "the mapping does not fit: it lacks product_name"},
        {MAPPED("\"created_at\":null"), "the mapping does not fit: created_at is no date"},
        {MAPPED("\"created_at\":{\"type\":\"keyword\"}"),
         "the mapping does not fit: created_at is no date"},
        {MAPPED("\"created_at\":{\"doc_values\":false}"),
         "the mapping does not fit: created_at is no date, or has no doc_values"},
        {MAPPED("\"created_at\":5"), "the mapping does not fit: created_at is object, not date"},
    };
    struct error err;
    for (size_t i = 0; i < COUNT(cases); i++) {
        write_file(cases[i].file);
        assert_int_equal(index_definition_file_validate(path, &err), -1);
        if (strncmp(err.message, cases[i].fault, strlen(cases[i].fault)) != 0)
            fail_msg("%s\n%s", cases[i].file, err.message);
    }
    assert_int_equal(index_definition_file_validate("/tmp", &err), -1);
    assert_string_equal(err.message, "not a file");
    assert_int_equal(index_definition_file_validate("/tmp/no-such-file", &err), -1);
    assert_string_equal(err.message, "cannot read the file: No such file or directory");
}

static void test_limits(void **state)
{
    (void)state;
    static char text[INDEX_SETTINGS_FILE_MAX_BYTES + 2];
    struct error err;
    memset(text, ' ', INDEX_SETTINGS_FILE_MAX_BYTES);
    memcpy(text, "{}", 2);
    write_file(text);
    assert_int_equal(index_definition_file_validate(path, &err), 0);
    text[INDEX_SETTINGS_FILE_MAX_BYTES] = ' ';
    write_file(text);
    assert_int_equal(index_definition_file_validate(path, &err), -1);
    assert_string_equal(err.message, "the file is longer than 65536 bytes");

    char name[300] = "", deep[400];
    memset(name, 'x', 250);
    snprintf(deep, sizeof deep, "{\"settings\":{\"%s\":1}}", name);
    write_file(deep);
    assert_int_equal(index_definition_file_validate(path, &err), -1);
    assert_string_equal(err.message, "the name of a setting in the file is longer than 255 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_purposes),         cmocka_unit_test(test_files),
        cmocka_unit_test(test_refresh_interval), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits),
    };
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) != 0)
        return 1;
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failures;
}
