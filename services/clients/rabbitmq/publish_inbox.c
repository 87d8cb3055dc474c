#include "services/clients/rabbitmq/publish_inbox.h"
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

void request_list_init(struct request_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

void request_list_append(struct request_list *list, struct publish_request *request)
{
    request->next = NULL;
    *list->end = request;
    list->end = &request->next;
}

struct publish_request *request_list_pop(struct request_list *list)
{
    struct publish_request *request = list->first;
    list->first = request->next;
    if (!list->first)
        list->end = &list->first;
    return request;
}

void request_list_move(struct request_list *to, struct request_list *from)
{
    if (!from->first)
        return;
    *to->end = from->first;
    to->end = from->end;
    request_list_init(from);
}

void publish_inbox_init(struct publish_inbox *inbox, unsigned window)
{
    inbox->window = window;
    inbox->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (inbox->wake_fd < 0)
        abort();
    pthread_mutex_init(&inbox->lock, NULL);
    request_list_init(&inbox->requests);
    inbox->closed = false;
    atomic_init(&inbox->open, false);
    atomic_init(&inbox->unanswered, 0);
}

void publish_inbox_release(struct publish_inbox *inbox)
{
    pthread_mutex_destroy(&inbox->lock);
    close(inbox->wake_fd);
}

bool publish_inbox_accepts(const struct publish_inbox *inbox)
{
    return atomic_load(&inbox->open) && atomic_load(&inbox->unanswered) < inbox->window;
}

int publish_inbox_submit(struct publish_inbox *inbox, struct publish_request *first, unsigned count)
{
    if (!publish_inbox_accepts(inbox)) /* a cheap answer while the broker is down */
        return -1;
    pthread_mutex_lock(&inbox->lock);
    bool taken = atomic_load(&inbox->open) && count <= inbox->window &&
                 atomic_load(&inbox->unanswered) <= inbox->window - count;
    bool was_empty = !inbox->requests.first;
    if (taken) {
        atomic_fetch_add(&inbox->unanswered, count);
        while (first) {
            struct publish_request *next = first->next;
            first->sent = false;
            request_list_append(&inbox->requests, first);
            first = next;
        }
    }
    pthread_mutex_unlock(&inbox->lock);
    if (taken && was_empty)
        publish_inbox_wake(inbox);
    return taken ? 0 : -1;
}

void publish_inbox_wake(struct publish_inbox *inbox)
{
    uint64_t one = 1;
    /* Fails only when the counter is full: then the thread is about to wake. */
    ssize_t written = write(inbox->wake_fd, &one, sizeof one);
    (void)written;
}

void publish_inbox_close(struct publish_inbox *inbox)
{
    pthread_mutex_lock(&inbox->lock);
    inbox->closed = true;
    atomic_store(&inbox->open, false);
    pthread_mutex_unlock(&inbox->lock);
    publish_inbox_wake(inbox);
}

void publish_inbox_open(struct publish_inbox *inbox, bool open)
{
    pthread_mutex_lock(&inbox->lock);
    atomic_store(&inbox->open, open && !inbox->closed);
    pthread_mutex_unlock(&inbox->lock);
}

void publish_inbox_take(struct publish_inbox *inbox, struct request_list *to)
{
    pthread_mutex_lock(&inbox->lock);
    request_list_move(to, &inbox->requests);
    pthread_mutex_unlock(&inbox->lock);
}

void publish_inbox_woken(struct publish_inbox *inbox)
{
    uint64_t wakes;
    ssize_t taken = read(inbox->wake_fd, &wakes, sizeof wakes);
    (void)taken; /* nobody else reads it */
}

void publish_inbox_count_answered(struct publish_inbox *inbox)
{
    atomic_fetch_sub(&inbox->unanswered, 1);
}
