/* The functions that scripts can call, with arguments of every kind in every place.
 *
 * Each byte of the input picks a word; the words make statements of a script, which is loaded, gets
 * messages, and is unloaded.  Whatever they say, nothing may crash, leak or stay behind. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"

#define SKEP_TEST_HARNESS /* the functions, not the macros that note a place */
#include <skep/test.h>

enum { WORDS_MOST = 120 };

static const char *const places[] = {
    "broker.publish", "broker.retained", "broker.kick", "broker.client", "broker.option",
    "broker.after", "broker.every", "broker.sleep", "broker.request", "broker.kv.get",
    "broker.kv.set", "broker.kv.add", "broker.kv.swap", "broker.kv.delete", "broker.http.request",
    "broker.http.url_encode", "broker.json.decode", "broker.json.encode", "broker.json.array",
    "broker.bytes.base64_decode", "broker.bytes.base64_encode", "broker.bytes.hex_decode",
    "broker.bytes.hash", "broker.bytes.hmac", "broker.bytes.random", "broker.log.info",
    "broker.on_publish", "broker.subscribe", "broker.metric.counter", "msg.drop", "msg.deny",
    "msg.route", "msg.json", "string.rep", "string.gsub", "string.find", "string.format",
    "setmetatable", "getmetatable", "tostring", "pcall", "error", "rawset", "next", "require",
};

static const char *const values[] = {
    "nil", "true", "0", "-1", "1", "2", "0.5", "1e300", "-0.0", "0/0", "math.mininteger", "''",
    "'a'", "'a/b'", "'#'", "'+/x'", "'$SYS/x'", "'\\0'", "('x'):rep(70000)", "{}", "{1,2}",
    "{topic='a'}", "{topic='a',payload='b',qos=3}", "{topic='a',qos='x'}", "{user_properties={{1}}}",
    "{topic='a',user_properties={{'k','v'}},expiry=1}", "{url='http://t/'}", "{url=1,headers={[1]=2}}",
    "msg", "broker", "msg.client", "msg.payload", "msg.user_properties", "function() end", "print",
    "old", "setmetatable({},{__index=error,__tostring=error,__len=error})", "'[{\"a\":1e999}]'",
    "'sha256'", "('['):rep(200)",
};

static const char *const fields[] = {
    "topic", "payload", "qos", "retain", "expiry", "content_type", "response_topic",
    "correlation_data", "user_properties", "client", "is_will", "nothing",
};

#define PICK(list, byte) (list)[(byte) % (sizeof(list) / sizeof *(list))]

static void put_statement(FILE *f, const uint8_t *b)
{
    switch (b[0] % 4) {
    case 0:
        fprintf(f, "  pcall(function() msg.%s = %s end)\n", PICK(fields, b[1]), PICK(values, b[2]));
        break;
    case 1:
        fprintf(f, "  pcall(function() old = %s(%s, %s) end)\n", PICK(places, b[1]),
                PICK(values, b[2]), PICK(values, b[3]));
        break;
    case 2:
        fprintf(f, "  pcall(%s, msg, %s, %s)\n", PICK(places, b[1]), PICK(values, b[2]),
                PICK(values, b[3]));
        break;
    default:
        fprintf(f, "  pcall(%s, %s, %s, %s)\n", PICK(places, b[1]), PICK(values, b[2]),
                PICK(values, b[3]), PICK(values, b[0] / 4));
    }
}

static void write_script(const char *path, const uint8_t *data, size_t size)
{
    FILE *f = fopen(path, "we");

    MUST(f);
    fputs("local broker = require 'broker'\nlocal old\n"
          "broker.on_publish('#', function(msg)\n",
          f);
    for (size_t i = 0; i + 4 <= size && i < WORDS_MOST * 4; i += 4)
        put_statement(f, data + i);
    fputs("end)\n", f);
    fclose(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[64], options[160];

    if (!path[0]) {
        snprintf(path, sizeof path, "/tmp/fuzz_lua_api-%d.lua", (int)getpid());
        snprintf(options, sizeof options,
                 "script %s; memory 2m; instructions 20000; time 2s; disable_after 0;", path);
    }
    write_script(path, data, size);
    struct skep_test *t = skep_test_load(NULL, options);
    skep_test_http(t, "http://t/", 200, "{}");
    struct skep_test_client *c = skep_test_client(t, "c", "u", NULL);
    skep_test_connect(c);
    for (int i = 0; i < 2; i++) {
        if (skep_test_publish(c, "a/b", "{\"x\":1}", 1, i > 0) != SKEP_PENDING)
            continue;
        skep_test_pass_ms(t, 20000);
        if (skep_test_verdict(c) == SKEP_PENDING)
            break; /* it sleeps for long */
    }
    skep_test_leave(c);
    skep_test_pass_ms(t, 5000);
    skep_test_free(&t);
    unlink(path);
    return 0;
}
