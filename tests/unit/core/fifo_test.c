/* The ring of deliveries: counters, packet ids, holes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "core/fifo.h"

/* Entries are told apart by their subscription identifier. */
static void push(struct fifo *f, uint32_t mark)
{
    *fifo_push(f) = (struct entry){.sub_id = mark, .qos = 1};
}

static void send(struct fifo *f)
{
    struct entry *e = fifo_at(f, fifo_advance(f));
    e->state = ENTRY_SENT;
    e->sent_before = 1;
}

static void drop_oldest(struct fifo *f)
{
    fifo_at(f, f->fresh)->state = ENTRY_DONE;
    fifo_skip(f, true);
}

static void it_keeps_the_order_while_it_grows(void **state)
{
    struct fifo f = {0};
    uint32_t in = 0, out = 0;

    for (int round = 0; round < 200; round++) {
        for (int i = 0; i < 7; i++)
            push(&f, in++);
        for (int i = 0; i < 5; i++) {
            assert_int_equal(fifo_at(&f, f.head)->sub_id, out++);
            f.next = ++f.head;
        }
    }
    while (!fifo_empty(&f)) {
        assert_int_equal(fifo_at(&f, f.head)->sub_id, out++);
        f.next = ++f.head;
    }
    assert_int_equal(in, out);
    fifo_trim(&f);
    assert_null(f.slots);
    push(&f, 1); /* and it can be used again */
    assert_int_equal(fifo_at(&f, f.head)->sub_id, 1);
    fifo_fini(&f);
}

static void packet_ids_count_from_1_to_65535_and_again(void **state) /* [MQTT-2.2.1-4] */
{
    assert_int_equal(fifo_packet_id(0), 1);
    assert_int_equal(fifo_packet_id(65534), 65535);
    assert_int_equal(fifo_packet_id(65535), 1);
}

static void an_entry_is_found_by_its_id_once_it_was_sent(void **state)
{
    struct fifo f = {.head = 65530, .next = 65530, .fresh = 65530, .tail = 65530};

    for (uint32_t i = 0; i < 20; i++)
        push(&f, i);
    for (int i = 0; i < 10; i++)
        send(&f);
    for (uint64_t at = 65530; at < 65540; at++)
        assert_ptr_equal(fifo_find(&f, fifo_packet_id(at)), fifo_at(&f, at));
    assert_null(fifo_find(&f, fifo_packet_id(65540))); /* not sent yet */
    assert_null(fifo_find(&f, 0));
    assert_null(fifo_find(&f, 30000));

    fifo_at(&f, 65530)->state = ENTRY_DONE;
    assert_null(fifo_find(&f, fifo_packet_id(65530)));
    fifo_settle(&f);
    assert_int_equal(f.head, 65531);
    fifo_rewind(&f);
    assert_non_null(fifo_find(&f, fifo_packet_id(65531))); /* of the last connection */
    fifo_fini(&f);
}

static void dropping_the_oldest_costs_no_place_when_nothing_is_in_flight(void **state)
{
    struct fifo f = {0};

    for (uint32_t i = 0; i < 100000; i++) {
        push(&f, i);
        if (fifo_waiting(&f) > 10)
            drop_oldest(&f);
    }
    assert_int_equal(f.tail - f.head, 10);
    assert_int_equal(f.cap, 16);
    fifo_fini(&f);
}

static void dropping_the_oldest_is_bounded_behind_one_in_flight(void **state)
{
    struct fifo f = {0};

    push(&f, 0);
    send(&f);
    for (uint32_t i = 1; i <= 100000; i++) {
        push(&f, i);
        if (fifo_waiting(&f) > 10)
            drop_oldest(&f);
    }
    assert_true(f.cap <= 256);
    assert_int_equal(fifo_waiting(&f), 10);
    for (uint64_t at = f.fresh; at != f.tail; at++) /* the youngest ten, in order */
        assert_int_equal(fifo_at(&f, at)->sub_id, 99991 + (at - f.fresh));
    assert_int_equal(fifo_at(&f, f.head)->sub_id, 0);

    fifo_at(&f, f.head)->state = ENTRY_DONE;
    fifo_settle(&f);
    assert_int_equal(f.tail - f.head, 10);
    fifo_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_keeps_the_order_while_it_grows),
        cmocka_unit_test(packet_ids_count_from_1_to_65535_and_again),
        cmocka_unit_test(an_entry_is_found_by_its_id_once_it_was_sent),
        cmocka_unit_test(dropping_the_oldest_costs_no_place_when_nothing_is_in_flight),
        cmocka_unit_test(dropping_the_oldest_is_bounded_behind_one_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
