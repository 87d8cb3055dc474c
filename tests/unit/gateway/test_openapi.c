/* openapi.yaml says what the tables of routes and of problems say, and nothing else. */
#include "services/gateway/openapi.h"
#include "services/gateway/problem.h"
#include "services/gateway/router.h"
#include "tests/unit/support/cmocka_headers.h"
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NO_CONTENT 204 /* to a preflight, which is no operation of a route */

static json_t *api;

static int load(void **state)
{
    (void)state;
    assert_int_equal(strlen(openapi_json), openapi_json_len);
    api = json_loads(openapi_json, 0, NULL);
    assert_non_null(api);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    json_decref(api);
    return 0;
}

/* What a "$ref" of this document points to, or the value itself. */
static const json_t *resolved(const json_t *value)
{
    const char *at = json_string_value(json_object_get(value, "$ref"));
    if (at == NULL)
        return value;
    value = api;
    for (at += strlen("#/"); *at != '\0';) {
        char name[64];
        size_t len = strcspn(at, "/");
        assert_in_range(len, 1, sizeof(name) - 1);
        memcpy(name, at, len);
        name[len] = '\0';
        value = json_object_get(value, name);
        assert_non_null(value);
        at += len + (at[len] == '/');
    }
    return value;
}

/* Whether the path is that of the route, whose "{}" has a name there. */
static bool path_is(const char *path, const char *route)
{
    for (; *route != '\0'; route++, path++) {
        if (*path != *route)
            return false;
        if (*route == '{')
            path += strcspn(path, "}") - 1;
    }
    return *path == '\0';
}

static const json_t *find_path(const char *route)
{
    const char *path;
    json_t *item;
    json_object_foreach(json_object_get(api, "paths"), path,
                        item) if (path_is(path, route)) return item;
    return NULL;
}

static void assert_statuses(const char *path, const json_t *operation, const int *statuses)
{
    const json_t *responses = json_object_get(operation, "responses");
    size_t count = 0;
    for (; *statuses != 0; statuses++) {
        char status[12];
        (void)snprintf(status, sizeof(status), "%d", *statuses);
        if (*statuses == NO_CONTENT)
            continue;
        if (json_object_get(responses, status) == NULL)
            fail_msg("%s: %s is not described", path, status);
        count++;
    }
    if (json_object_size(responses) != count)
        fail_msg("%s: a status is described that is not in the table", path);
}

static void test_routes(void **state)
{
    (void)state;
    struct route_description route;
    size_t count = 0, described_count = 0;
    for (; router_describe(count, &route); count++) {
        const char *method = strcmp(route.methods, "POST") == 0 ? "post" : "get";
        const json_t *operation = json_object_get(find_path(route.path), method);
        if (operation == NULL)
            fail_msg("%s %s is not described", method, route.path);
        assert_statuses(route.path, operation, route.statuses);
    }
    const char *name;
    json_t *path;
    json_object_foreach(json_object_get(api, "paths"), name, path) described_count +=
        json_object_size(path) - (json_object_get(path, "parameters") != NULL);
    if (described_count != count)
        fail_msg("a method is described that its path does not have");
}

/* ---- problems ---- */

static bool described[PROBLEM_KINDS];

static void note_code(const char *code, int status)
{
    for (size_t i = 0; i < PROBLEM_KINDS; i++) {
        if (strcmp(problem_code((enum problem)i), code) != 0)
            continue;
        described[i] = true;
        if (problem_status((enum problem)i) != status)
            fail_msg("%s is described as a %d", code, status);
        return;
    }
    fail_msg("%s is described and is no problem", code);
}

static void note_response(const json_t *response, int status)
{
    const json_t *content = json_object_get(resolved(response), "content");
    const json_t *problem = json_object_get(content, PROBLEM_CONTENT_TYPE);
    if (problem == NULL)
        return;
    const json_t *parts = json_object_get(json_object_get(problem, "schema"), "allOf");
    const json_t *own = json_object_get(json_array_get(parts, 1), "properties");
    const json_t *code = json_object_get(own, "code");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(own, "status"), "const")),
                     status);
    if (json_object_get(code, "const") != NULL)
        note_code(json_string_value(json_object_get(code, "const")), status);
    size_t index;
    const json_t *value;
    json_array_foreach(json_object_get(code, "enum"), index, value)
        note_code(json_string_value(value), status);
}

static int own_status(const json_t *response)
{
    const json_t *content = json_object_get(response, "content");
    const json_t *problem = json_object_get(content, PROBLEM_CONTENT_TYPE);
    const json_t *parts = json_object_get(json_object_get(problem, "schema"), "allOf");
    const json_t *own = json_object_get(json_array_get(parts, 1), "properties");
    return (int)json_integer_value(json_object_get(json_object_get(own, "status"), "const"));
}

static void test_problems(void **state)
{
    (void)state;
    const char *key;
    json_t *path, *operation, *response;
    json_object_foreach(json_object_get(api, "paths"), key, path)
    {
        const char *method;
        json_object_foreach(path, method, operation)
        {
            const char *status;
            json_object_foreach(json_object_get(operation, "responses"), status, response)
                note_response(response, atoi(status));
        }
    }
    json_object_foreach(json_object_get(json_object_get(api, "components"), "responses"), key,
                        response) note_response(response, own_status(response));
    for (size_t i = 0; i < PROBLEM_KINDS; i++)
        if (!described[i])
            fail_msg("%s is not described", problem_code((enum problem)i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_routes),
                                       cmocka_unit_test(test_problems)};
    return cmocka_run_group_tests(tests, load, unload);
}
