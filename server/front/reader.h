/* The thread that reads the middle of long queues back from the disk (core/spill.h).
 *
 * reader_ask() from any loop; the answer is given to `answer` on the reader's thread, which
 * carries it to the worker that asked. */
#ifndef SKEP_FRONT_READER_H
#define SKEP_FRONT_READER_H

struct broker;
struct queue_read;
struct reader;
struct store;

struct reader *reader_start(struct broker *b, struct store *store,
                            void (*answer)(void *arg, struct queue_read *r), void *arg);
/* Answers what is left without reading it, and ends the thread.  Nothing may ask any more. */
void reader_stop(struct reader **r);

void reader_ask(struct reader *r, struct queue_read *read);

#endif
