/* The mailbox between a publisher's thread and a loop: a stack that takes no lock, and an eventfd
 * that the loop watches. Only the first result on an empty stack wakes the loop, which then takes
 * all that have gathered. */
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
    _Atomic(struct publish_request *) answered; /* the newest first */
};

void publish_mailbox_post(struct publish_request *request, enum publish_result result)
{
    struct publish_mailbox *mailbox = request->mailbox;
    request->result = result;
    struct publish_request *head = atomic_load(&mailbox->answered);
    do {
        request->next = head;
    } while (!atomic_compare_exchange_weak(&mailbox->answered, &head, request));
    if (head)
        return;
    uint64_t one = 1;
    /* The write fails only when the counter is full: then the loop is about to wake. */
    ssize_t written = write(mailbox->wake_fd, &one, sizeof one);
    (void)written;
}

/* All results so far, the oldest first. */
static struct publish_request *take_answered(struct publish_mailbox *mailbox)
{
    struct publish_request *newest_first = atomic_exchange(&mailbox->answered, NULL);
    struct publish_request *oldest_first = NULL;
    while (newest_first) {
        struct publish_request *next = newest_first->next;
        newest_first->next = oldest_first;
        oldest_first = newest_first;
        newest_first = next;
    }
    return oldest_first;
}

static void on_wake(void *arg, bool readable, bool writable)
{
    (void)readable, (void)writable;
    struct publish_mailbox *mailbox = arg;
    const struct publish_receiver *receiver = &mailbox->receiver;
    uint64_t wakes;
    ssize_t taken = read(mailbox->wake_fd, &wakes, sizeof wakes);
    (void)taken; /* before the stack is emptied: a later result wakes the loop again */
    for (struct publish_request *request = take_answered(mailbox), *next; request; request = next) {
        next = request->next;
        receiver->on_result(receiver->arg, request, request->result);
    }
    if (receiver->on_turn)
        receiver->on_turn(receiver->arg);
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
    for (struct publish_request *request = take_answered(mailbox), *next; request; request = next) {
        next = request->next;
        mailbox->receiver.discard(request);
    }
    loop_watch_free(mailbox->watch);
    close(mailbox->wake_fd);
    free(mailbox);
}
