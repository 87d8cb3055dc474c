/* libcurl alone: one connection, one request at a time. */
#include "proto/order_json.h"
#include "tests/bench/ceilings/ceilings.h"
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#define DOCUMENT_SIZE 512 /* two lines of a request; the names of make_order() are short */

/* The answer is {"errors":false}. */
struct answer {
    size_t len;
    char bytes[64];
};

static size_t keep(char *bytes, size_t size, size_t count, void *arg)
{
    struct answer *answer = arg;
    size_t len = size * count;
    if (len > sizeof(answer->bytes) - answer->len)
        return 0;
    memcpy(answer->bytes + answer->len, bytes, len);
    answer->len += len;
    return len;
}

static size_t write_batch(char *body, size_t size, long first)
{
    size_t len = 0;
    for (long i = 0; i < CEILING_BATCH; i++) {
        struct order order;
        char id[ORDER_ID_TEXT_LEN + 1], json[ORDER_JSON_SIZE];
        make_order(&order, first + i);
        order_id_format(&order.id, id);
        order_to_json(&order, json);
        int wrote =
            snprintf(body + len, size - len, "{\"index\":{\"_id\":\"%s\"}}\n%s\n", id, json);
        len += (size_t)wrote;
    }
    return len;
}

void bulk_batches(const char *index, long count)
{
    static char body[CEILING_BATCH * DOCUMENT_SIZE];
    static const char stored[] = "{\"errors\":false}";
    struct answer answer;
    char url[512];
    CURL *easy = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/x-ndjson");
    headers = curl_slist_append(headers, "Expect:"); /* not asking before each body */
    if (!easy || !headers)
        die("elasticsearch", "out of memory");
    (void)snprintf(url, sizeof(url), "%s/%s/_bulk?filter_path=errors", setting("ELASTICSEARCH_URL"),
                   index);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, 60L);
    for (long done = 0; done < count; done += CEILING_BATCH) {
        answer.len = 0;
        size_t len = write_batch(body, sizeof(body), done);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)len);
        CURLcode code = curl_easy_perform(easy);
        if (code != CURLE_OK)
            die("elasticsearch", curl_easy_strerror(code));
        if (answer.len != sizeof(stored) - 1 || memcmp(answer.bytes, stored, answer.len) != 0)
            die("elasticsearch", "some documents were not stored");
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(easy);
}
