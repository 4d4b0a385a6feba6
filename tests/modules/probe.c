/* Tells its life in the log, fails where its options say so, and takes commands. */
#include <skep/command.h>
#include <skep/loop.h>
#include <skep/module.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef FLAGS
#define FLAGS 0
#endif

enum { WARM_NOT, WARM_AT_ONCE, WARM_LATER, WARM_FAIL, WARM_NEVER };

struct conf {
    const char *tag, *file;
    bool refuse, complain;
    int warm;
};

struct self {
    struct skep_module *m;
    const struct conf *conf;
    struct skep_timer *timer;
    struct skep_command *waiting;
    struct skep_warm *warm;
};

static const struct skep_option options[] = {
    SKEP_STRING(struct conf, tag, "none", .help = "what it says of itself"),
    SKEP_PATH(struct conf, file, NULL, .help = "a file it would read"),
    SKEP_BOOL(struct conf, refuse, "off", .help = "refuse to load"),
    SKEP_BOOL(struct conf, complain, "off", .help = "say why"),
    SKEP_ENUM(struct conf, warm, "no", .choices = "no|at_once|later|fail|never",
              .help = "how it warms up"),
    {0},
};

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    struct self *s = calloc(1, sizeof *s);

    s->m = m;
    s->conf = conf;
    skep_log(m, SKEP_LOG_INFO, "load v%s tag=%s", VERSION, s->conf->tag);
    if (s->conf->complain)
        skep_report(report, NULL, "turn complain off", "tag %s is out of fashion", s->conf->tag);
    if (s->conf->refuse) {
        free(s);
        return -1;
    }
    *self = s;
    return 0;
}

static void warmed(void *arg)
{
    struct self *s = arg;
    skep_warm_done(s->warm, NULL);
}

static void warm_in_job(void *arg)
{
    (void)arg;
}

static void warm(void *self, struct skep_warm *w)
{
    struct self *s = self;

    skep_log(s->m, SKEP_LOG_INFO, "warm v%s", VERSION);
    s->warm = w;
    switch (s->conf->warm) {
    case WARM_LATER:
        skep_job(s->m, warm_in_job, warmed, s);
        break;
    case WARM_FAIL:
        skep_warm_done(w, "the oven is cold");
        break;
    case WARM_NEVER:
        break;
    default:
        skep_warm_done(w, NULL);
    }
}

static void tick(void *arg)
{
    struct self *s = arg;

    if (s->waiting)
        skep_command_answer(s->waiting, SKEP_STR("\"at last\""));
    s->waiting = NULL;
}

static void start(void *self, void *previous)
{
    struct self *s = self;

    s->timer = skep_timer_new(s->m, tick, s);
    skep_log(s->m, SKEP_LOG_INFO, "start v%s previous=%s loop=%u", VERSION,
             previous ? ((struct self *)previous)->conf->tag : "none", skep_loop_here());
}

static void stop(void *self)
{
    struct self *s = self;
    skep_log(s->m, SKEP_LOG_INFO, "stop v%s tag=%s", VERSION, s->conf->tag);
}

static void unload(void *self)
{
    struct self *s = self;

    skep_log(s->m, SKEP_LOG_INFO, "unload v%s tag=%s", VERSION, s->conf->tag);
    skep_timer_free(s->timer);
    free(s);
}

static void crash(void)
{
    volatile uintptr_t nowhere = 8; /* so that no compiler sees it coming */
    *(volatile int *)nowhere = 1;
}

static int deeper(volatile char *above, int n)
{
    volatile char room[1024];

    room[0] = above ? above[0] : 0;
    return n < 0 ? 0 : deeper(room, n + 1) + room[1023];
}

static void crash_in_job(void *arg)
{
    (void)arg;
    crash();
}

static void on_command(struct skep_command *c, void *self)
{
    struct self *s = self;
    struct skep_str word = skep_command_word(c, 0);

    if (skep_str_eq(word, SKEP_STR("table"))) {
        skep_command_answer(
            c, SKEP_STR("[{\"name\":\"a\",\"size\":1},{\"name\":\"bee\",\"size\":22}]"));
    } else if (skep_str_eq(word, SKEP_STR("echo"))) {
        char text[256];
        int n = snprintf(text, sizeof text, "{\"word\":\"%.*s\",\"words\":%zu}",
                         (int)skep_command_word(c, 1).len, skep_command_word(c, 1).ptr,
                         skep_command_words(c));
        skep_command_answer(c, skep_bytes(text, (size_t)n));
    } else if (skep_str_eq(word, SKEP_STR("later"))) {
        s->waiting = c;
        skep_timer_set(s->timer, 20);
    } else if (skep_str_eq(word, SKEP_STR("alarm"))) {
        skep_alarm(s->m, "smoke", "there is smoke");
        skep_command_answer(c, SKEP_STR("true"));
    } else if (skep_str_eq(word, SKEP_STR("clear"))) {
        skep_alarm_clear(s->m, "smoke");
        skep_command_answer(c, SKEP_STR("true"));
    } else if (skep_str_eq(word, SKEP_STR("shout"))) {
        for (int i = 0; i < 2000; i++)
            skep_log(s->m, SKEP_LOG_INFO, "shouting");
        skep_command_answer(c, SKEP_STR("true"));
    } else if (skep_str_eq(word, SKEP_STR("directory"))) {
        const char *path = skep_module_directory(s->m);
        char text[512];
        int n = snprintf(text, sizeof text, "\"%s\"", path ? path : "");
        skep_command_answer(c, skep_bytes(text, (size_t)n));
    } else if (skep_str_eq(word, SKEP_STR("garbage"))) {
        skep_command_answer(c, SKEP_STR("{oops"));
    } else if (skep_str_eq(word, SKEP_STR("crash"))) {
        crash();
    } else if (skep_str_eq(word, SKEP_STR("job"))) {
        skep_job(s->m, crash_in_job, warmed, s);
    } else if (skep_str_eq(word, SKEP_STR("deep"))) {
        deeper(NULL, 0);
    } else if (skep_str_eq(word, SKEP_STR("abort"))) {
        abort();
    } else if (!skep_str_eq(word, SKEP_STR("silence"))) {
        skep_command_fail(c, "no such command: %.*s", (int)word.len, word.ptr ? word.ptr : "");
    }
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD(NAME, VERSION, "tells its life"),
    .flags = FLAGS,
    .conf_size = sizeof(struct conf),
    .options = options,
    .load = load,
    .warm = warm,
    .start = start,
    .stop = stop,
    .unload = unload,
    .on_command = on_command,
};
