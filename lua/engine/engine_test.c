/* The engine in the host's dispatcher: what the stories and the Lua tests do not see from outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glob.h>
#include <skep/test.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

enum { LOOP_BYTES_MOST = 200 * 1024, TEXT = 65536 };

/* "script a.lua b.lua ...;" of all examples, without their tests. */
static void name_examples(char *out)
{
    glob_t found;
    size_t len = (size_t)sprintf(out, "script");

    assert_int_equal(glob(MODULE_DIR "/../examples/*.lua", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (!strstr(found.gl_pathv[i], "_test.lua"))
            len += (size_t)sprintf(out + len, " \"%s\"", found.gl_pathv[i]);
    }
    strcpy(out + len, ";");
    globfree(&found);
}

static void the_examples_fit_into_200_kb_a_loop(void **state)
{
    char *options = malloc(TEXT);

    name_examples(options);
    struct skep_test *t = skep_test_load(NULL, options);
    struct engine *e = skep_test_self(t);
    assert_true(e->script_count >= 12);
    lua_gc(e->states[0]->L, LUA_GCCOLLECT);
    size_t bytes = alloc_total(&e->states[0]->alloc);
    print_message("%u scripts: %zu bytes a loop\n", e->script_count, bytes);
    assert_true(bytes <= LOOP_BYTES_MOST);
    skep_test_free(&t);
    free(options);
}

static void write_script(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static struct skep_test *load_text(const char *text, const char *more)
{
    static char path[64];
    char options[256];

    snprintf(path, sizeof path, "/tmp/engine_test-%d.lua", (int)getpid());
    snprintf(options, sizeof options, "script %s; %s", path, more);
    write_script(path, text);
    struct skep_test *t = skep_test_load(NULL, options);
    remove(path);
    return t;
}

/* Memory that a script gave back is its own again: a million messages do not use it up. */
static void memory_of_a_script_comes_back(void **state)
{
    struct skep_test *t = load_text("local broker = require 'broker'\n"
                                    "broker.on_publish('#', function(msg)\n"
                                    "  local t = {}\n"
                                    "  for i = 1, 50 do t[i] = msg.payload .. i end\n"
                                    "  msg.payload = table.concat(t)\n"
                                    "end)\n",
                                    "memory 256k;");
    struct engine *e = skep_test_self(t);
    struct skep_test_client *c = skep_test_client(t, "c", NULL, NULL);

    skep_test_connect(c);
    for (int i = 0; i < 5000; i++)
        assert_int_equal(skep_test_publish(c, "a", "0123456789", 0, false), SKEP_ALLOW);
    assert_int_equal(atomic_load(&e->scripts[0]->errors_total), 0);
    lua_gc(e->states[0]->L, LUA_GCCOLLECT);
    assert_true(e->states[0]->alloc.used[1] < 64 * 1024);
    skep_test_free(&t);
}

/* Who waits is dropped by the host in time, or with its client; the coroutine is free again. */
static void waiting_ends_with_the_client_or_in_time(void **state)
{
    struct skep_test *t =
        load_text("local broker = require 'broker'\n"
                  "broker.on_publish('nap', function(msg) broker.sleep(3000) end)\n",
                  "decision_timeout 5s;");
    struct engine *e = skep_test_self(t);

    for (int i = 0; i < 10; i++) {
        char id[8];
        snprintf(id, sizeof id, "c%d", i);
        struct skep_test_client *c = skep_test_client(t, id, NULL, NULL);
        skep_test_connect(c);
        assert_int_equal(skep_test_publish(c, "nap", "", 0, false), SKEP_PENDING);
        assert_non_null(e->states[0]->waiting);
        if (i % 2)
            skep_test_leave(c);
        else
            skep_test_pass_ms(t, 6000);
        assert_null(e->states[0]->waiting);
    }
    skep_test_free(&t);
}

/* A handler in an instance that is replaced finishes where it began. */
static void a_reload_lets_who_waits_finish(void **state)
{
    struct skep_test *t = load_text("local broker = require 'broker'\n"
                                    "broker.on_publish('nap', function(msg)\n"
                                    "  broker.sleep(1) msg.payload = 'old'\n"
                                    "end)\n",
                                    "");
    struct skep_test_client *c = skep_test_client(t, "c", NULL, NULL);
    char options[128];

    skep_test_connect(c);
    assert_int_equal(skep_test_publish(c, "nap", "", 0, false), SKEP_PENDING);
    snprintf(options, sizeof options, "script /tmp/engine_test-%d.lua;", (int)getpid());
    char path[64];
    snprintf(path, sizeof path, "/tmp/engine_test-%d.lua", (int)getpid());
    write_script(path,
                 "require('broker').on_publish('nap', function(msg) msg.payload = 'new' end)");
    assert_null(skep_test_reload(t, options));
    remove(path);
    skep_test_pass_ms(t, 1500);
    assert_int_equal(skep_test_verdict(c), SKEP_ALLOW);
    const struct skep_message *m = skep_test_message(c, 0);
    assert_memory_equal(m->payload.ptr, "old", 3);
    assert_int_equal(skep_test_publish(c, "nap", "", 0, false), SKEP_ALLOW);
    assert_memory_equal(skep_test_message(c, 0)->payload.ptr, "new", 3);
    skep_test_free(&t);
}

/* Each wait gives its own answer, whatever the one before it gave. */
static void waits_of_several_kinds_follow_each_other(void **state)
{
    struct skep_test *t =
        load_text("local broker = require 'broker'\n"
                  "broker.on_publish('mix', function(msg)\n"
                  "  local out = {}\n"
                  "  for i = 1, 2 do\n"
                  "    out[#out + 1] = broker.http.request{ url = 'http://t/' }.body\n"
                  "    local reply, why = broker.request{ topic = 'nobody', timeout = 1 }\n"
                  "    out[#out + 1] = reply and 'stale' or why\n"
                  "    broker.sleep(0.1)\n"
                  "  end\n"
                  "  msg.payload = table.concat(out, ' ')\n"
                  "end)\n",
                  "");
    struct skep_test_client *c = skep_test_client(t, "c", NULL, NULL);

    skep_test_http(t, "http://t/", 200, "got");
    skep_test_connect(c);
    if (skep_test_publish(c, "mix", "", 0, false) == SKEP_PENDING)
        skep_test_pass_ms(t, 5000);
    assert_int_equal(skep_test_verdict(c), SKEP_ALLOW);
    struct skep_str got = skep_test_message(c, 0)->payload;
    assert_true(skep_str_eq(got, SKEP_STR("got no reply in time got no reply in time")));
    skep_test_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_fit_into_200_kb_a_loop),
        cmocka_unit_test(memory_of_a_script_comes_back),
        cmocka_unit_test(waiting_ends_with_the_client_or_in_time),
        cmocka_unit_test(a_reload_lets_who_waits_finish),
        cmocka_unit_test(waits_of_several_kinds_follow_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
