/* A result is told by its members: a comparison of PostgreSQL and the index has "missing", a copy
 * into an index has "copied", and jobs about dead letters have numbers alone. */
#include "services/orderctl/job_result.h"
#include "services/orderctl/fields.h"
#include "services/orderctl/output.h"
#include <stdio.h>
#include <string.h>

#define IDS_SHOWN 10

static long long count_of(const json_t *result, const char *name)
{
    return field_number(json_object_get(result, name), "count", 0);
}

static bool is_comparison(const json_t *result)
{
    return json_is_object(json_object_get(result, "missing"));
}

static bool is_copy(const json_t *result)
{
    return json_object_get(result, "copied") != NULL;
}

/* ---- good or not ---- */

static bool is_done(const json_t *job)
{
    const char *state = field_text(job, "state");
    return state != NULL && strcmp(state, "done") == 0;
}

static long long left(long long found, long long mended)
{
    return found > mended ? found - mended : 0;
}

static long long orders_left(const json_t *result)
{
    return left(count_of(result, "missing") + count_of(result, "different") +
                    count_of(result, "dead_at_index"),
                field_number(result, "repaired", 0));
}

static long long documents_left(const json_t *result)
{
    return left(count_of(result, "extra"), field_number(result, "deleted", 0));
}

bool job_is_good(const json_t *job)
{
    const json_t *result = json_object_get(job, "result");
    return is_done(job) && orders_left(result) == 0 && documents_left(result) == 0 &&
           count_of(result, "refused") == 0;
}

/* ---- words ---- */

static void print_label(const char *label)
{
    printf("  %-12s ", label);
}

/* "3: ID, ID, ID" */
static void print_tally(const json_t *result, const char *name, const char *label)
{
    const json_t *ids = json_object_get(json_object_get(result, name), "ids");
    long long count = count_of(result, name);
    size_t shown = 0;
    print_label(label);
    printf("%lld", count);
    for (; shown < IDS_SHOWN && shown < json_array_size(ids); shown++) {
        const char *id = json_string_value(json_array_get(ids, shown));
        fputs(shown == 0 ? ": " : ", ", stdout);
        output_text(stdout, id != NULL ? id : "?");
    }
    if (shown > 0 && count > (long long)shown)
        printf(" and %lld more", count - (long long)shown);
    fputc('\n', stdout);
}

/* Days that were wrong are mended by then. null: not compared yet, or there was no ledger. */
static void print_ledger(const json_t *job, const json_t *result)
{
    const json_t *ledger = json_object_get(result, "sales_ledger");
    long long days = field_number(ledger, "days", 0), orders = field_number(ledger, "orders", 0);
    if (ledger == NULL || (json_is_null(ledger) && !is_done(job)))
        return; /* also: a scheduler from before the ledger */
    print_label("sales ledger");
    if (json_is_null(ledger))
        fputs("not compared: there is none that has all orders, or it could not be read", stdout);
    else if (days == 0)
        fputs("right on every day", stdout);
    else
        printf("was wrong on %lld day%s, by %lld order%s, and is mended\n"
               "               Something changed orders past the triggers of the ledger.",
               days, days == 1 ? "" : "s", orders, orders == 1 ? "" : "s");
    fputc('\n', stdout);
}

static void print_comparison(const json_t *job, const json_t *result)
{
    const json_t *parameters = json_object_get(job, "parameters");
    const char *from = field_text(result, "from"), *to = field_text(result, "to");
    fputc('\n', stdout);
    print_label("compared");
    field_print_number(result, "orders");
    fputs(" orders with ", stdout);
    field_print_number(result, "documents");
    fputs(" documents", stdout);
    if (from != NULL) {
        fputs(", from ", stdout);
        output_text(stdout, from);
    }
    if (to != NULL) {
        fputs(" to ", stdout);
        output_text(stdout, to);
    }
    fputc('\n', stdout);
    print_tally(result, "missing", "missing");
    print_tally(result, "extra", "extra");
    print_tally(result, "different", "different");
    if (count_of(result, "dead_at_index") > 0) {
        print_tally(result, "dead_at_index", "dead");
        fputs("               Those have no document because their letters died at the stage "
              "index: orderctl dead list --stage index\n",
              stdout);
    }
    if (count_of(result, "refused") > 0) {
        print_tally(result, "refused", "refused");
        fputs("               The mapping of the index does not take those: mend "
              "ORDER_INDEX_SETTINGS_FILE, then orderctl reindex\n",
              stdout);
    }
    if (field_number(result, "repaired", 0) > 0 || field_number(result, "deleted", 0) > 0) {
        print_label("repaired");
        field_print_number(result, "repaired");
        fputs(" documents, and deleted ", stdout);
        field_print_number(result, "deleted");
        fputc('\n', stdout);
    }
    if (field_true(result, "approximate"))
        fputs("  The numbers are differences of whole hours: too much differs to look up each.\n",
              stdout);
    print_ledger(job, result);
    if (!is_done(job))
        return;
    const char *full = field_true(parameters, "full") ? " --full" : "",
               *fields = field_true(parameters, "fields") ? " --fields" : "";
    if (orders_left(result) > count_of(result, "refused"))
        printf("  Index them again: orderctl verify%s%s --repair\n", full, fields);
    if (documents_left(result) > 0)
        printf("  Delete the documents that have no order: orderctl verify%s%s --repair "
               "--delete-extra\n",
               full, fields);
}

static void print_copy(const json_t *result)
{
    const char *index = field_text(result, "index"), *old = field_text(result, "old");
    fputc('\n', stdout);
    print_label("index");
    output_text(stdout, index != NULL ? index : "?");
    fputs(", ", stdout);
    field_print_number(result, "copied");
    fputs(" orders copied\n", stdout);
    if (old != NULL) {
        print_label("before");
        output_text(stdout, old);
        fputs(field_true(result, "old_kept") ? ", kept\n" : "\n", stdout);
    }
    if (count_of(result, "refused") > 0) {
        print_tally(result, "refused", "refused");
        fputs("               Elasticsearch refuses these orders, and search does not find them.\n",
              stdout);
    }
    if (field_number(result, "unreadable", 0) > 0) {
        print_label("unreadable");
        field_print_number(result, "unreadable");
        fputs(" rows, which can be no orders\n", stdout);
    }
    if (field_number(result, "transactions_left", 0) > 0) {
        print_label("open");
        field_print_number(result, "transactions_left");
        fputs(" transactions had not ended: what they commit is found by orderctl verify\n",
              stdout);
    }
}

static void print_counts(const json_t *result)
{
    if (json_object_size(result) > 0) {
        fputs(": ", stdout);
        field_print_counts(result);
    }
    fputc('\n', stdout);
    if (field_number(result, "skipped", 0) > 0)
        fputs("  Skipped were letters that are no longer dead, or whose body can be no order.\n",
              stdout);
    if (field_number(result, "died_again", 0) > 0)
        fputs("  What died again is a new letter: orderctl dead list\n", stdout);
}

void job_print_result(const json_t *job)
{
    const json_t *result = json_object_get(job, "result");
    if (is_comparison(result))
        print_comparison(job, result);
    else if (is_copy(result))
        print_copy(result);
    else
        print_counts(result);
}
