/* What the watch reads in Elasticsearch's answers, and writes into the mapping. */
#ifndef SCHEDULER_INDEX_WATCH_ANSWERS_H
#define SCHEDULER_INDEX_WATCH_ANSWERS_H

#include <stddef.h>
#include <stdint.h>

/* Of GET /INDEX/_count, whose answer has status 200: the documents, or -1 when not all shards have
 * counted theirs. */
int64_t watch_answers_count(const char *body, size_t body_len);

/* Of GET /INDEX/_stats/docs, the same with WATCH_STATISTICS_QUERY. They change with the documents;
 * a search may see other numbers. */
#define WATCH_STATISTICS_QUERY "filter_path=error,_all.primaries.docs"
struct watch_statistics {
    int64_t documents, deleted;
};
struct watch_statistics watch_answers_statistics(const char *body, size_t body_len);

/* The body of PUT /INDEX/_mapping that writes into _meta which deployment the index belongs to, and
 * leaves what else is there. `look` is the answer to a look at the index (index_look.h), `index`
 * the name of the index in it. free() it. */
char *watch_answers_claim(const char *look, size_t look_len, const char *index,
                          const char *deployment) __attribute__((returns_nonnull));

#endif
