/* A stack that takes no lock, and an eventfd that the loop watches. A wake makes the loop take all
 * that have gathered. Of the results only the first one on an empty stack wakes it. */
#include "services/clients/rabbitmq/publish_mailbox.h"
#include "services/base/memory.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct publish_mailbox {
    struct publish_receiver receiver;
    int wake_fd;
    struct loop_watch *watch;
    _Atomic(struct publish_request *) newest; /* a stack */
};

void publish_mailbox_wake(struct publish_mailbox *mailbox)
{
    /* The write fails only when the counter is full: then the loop is about to wake. */
    (void)!eventfd_write(mailbox->wake_fd, 1);
}

/* Returns whether the stack was empty. */
static bool push(struct publish_mailbox *mailbox, struct publish_request *request)
{
    struct publish_request *head = atomic_load(&mailbox->newest);
    do {
        request->next = head;
    } while (!atomic_compare_exchange_weak(&mailbox->newest, &head, request));
    return head == NULL;
}

void publish_mailbox_put(struct publish_mailbox *mailbox, struct publish_request *request)
{
    (void)push(mailbox, request);
}

void publish_mailbox_post(struct publish_request *request, enum publish_result result)
{
    struct publish_mailbox *mailbox = request->mailbox; /* the request is the loop's after that */
    request->result = result;
    if (push(mailbox, request))
        publish_mailbox_wake(mailbox);
}

/* All requests so far, the oldest first. */
static struct publish_request *take_all(struct publish_mailbox *mailbox)
{
    struct publish_request *newest_first = atomic_exchange(&mailbox->newest, NULL);
    struct publish_request *oldest_first = NULL;
    while (newest_first) {
        struct publish_request *next = newest_first->next;
        newest_first->next = oldest_first;
        oldest_first = newest_first;
        newest_first = next;
    }
    return oldest_first;
}

void publish_mailbox_collect(struct publish_mailbox *mailbox)
{
    const struct publish_receiver *receiver = &mailbox->receiver;
    for (struct publish_request *request = take_all(mailbox), *next; request; request = next) {
        next = request->next;
        receiver->on_result(receiver->arg, request, request->result);
    }
}

static void on_wake(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct publish_mailbox *mailbox = arg;
    eventfd_t wakes; /* taken before the stack is emptied: a later request wakes the loop again */
    (void)!eventfd_read(mailbox->wake_fd, &wakes);
    publish_mailbox_collect(mailbox);
    if (mailbox->receiver.on_turn)
        mailbox->receiver.on_turn(mailbox->receiver.arg);
}

struct publish_mailbox *publish_mailbox_new(struct event_loop *loop,
                                            const struct publish_receiver *receiver)
{
    struct publish_mailbox *mailbox = memory_new(sizeof *mailbox);
    mailbox->receiver = *receiver;
    mailbox->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (mailbox->wake_fd < 0)
        abort();
    mailbox->watch = event_loop_watch(loop, mailbox->wake_fd, on_wake, mailbox);
    loop_watch_want(mailbox->watch, true, false);
    return mailbox;
}

void publish_mailbox_free(struct publish_mailbox *mailbox)
{
    if (!mailbox)
        return;
    for (struct publish_request *request = take_all(mailbox), *next; request; request = next) {
        next = request->next;
        mailbox->receiver.discard(request);
    }
    loop_watch_free(mailbox->watch);
    close(mailbox->wake_fd);
    free(mailbox);
}
