/* One option of each type; says in its log what it was given. */
#include <skep/module.h>

struct inner {
    struct skep_block block;
    uint32_t wait;
};

struct part {
    struct skep_block block;
    const char *to;
};

struct conf {
    bool flag;
    uint8_t small;
    uint64_t big, bytes;
    uint32_t wait, rate;
    int color;
    uint32_t days;
    const char *text, *file, *at;
    struct skep_secret key;
    struct skep_list words;
    struct skep_lines header;
    struct inner inner;
    struct skep_blocks part;
};

static const struct skep_option inner_options[] = {
    SKEP_DURATION(struct inner, wait, "1s", .help = "inside"),
    {0},
};

static const struct skep_option part_options[] = {
    SKEP_STRING(struct part, to, SKEP_REQUIRED, .help = "where to"),
    {0},
};

static const struct skep_option options[] = {
    SKEP_BOOL(struct conf, flag, "on", .help = "a switch"),
    SKEP_UINT(struct conf, small, "7", .max = 9, .help = "a digit"),
    SKEP_UINT(struct conf, big, "8", .help = "a number"),
    SKEP_SIZE(struct conf, bytes, "64k", .help = "a size"),
    SKEP_DURATION(struct conf, wait, "2s", .help = "a time"),
    SKEP_RATE(struct conf, rate, "5/s", .help = "a rate"),
    SKEP_ENUM(struct conf, color, "green", .choices = "red|green", .help = "a choice"),
    SKEP_SET(struct conf, days, "mo", .choices = "mo|tu|we", .help = "some choices"),
    SKEP_STRING(struct conf, text, SKEP_REQUIRED, .help = "a text"),
    SKEP_PATH(struct conf, file, NULL, .help = "a file"),
    SKEP_ADDRESS(struct conf, at, NULL, .help = "an address"),
    SKEP_SECRET(struct conf, key, NULL, .help = "a secret"),
    SKEP_LIST(struct conf, words, NULL, .min = 2, .help = "words"),
    SKEP_LINES(struct conf, header, NULL, .min = 2, .max = 2, .help = "pairs"),
    SKEP_BLOCK(struct conf, inner, inner_options, .help = "More"),
    SKEP_BLOCKS(struct conf, part, part_options, struct part, .help = "Parts"),
    {0},
};

static void check(const void *conf, struct skep_report *report)
{
    const struct conf *c = conf;

    if (strcmp(c->text, "wrong") == 0)
        skep_report(report, NULL, "say something else", "text is %s", c->text);
    if (c->words.count > 2)
        skep_report(report, &c->words.places[2], NULL, "the third word is %s", c->words.items[2]);
    if (strcmp(c->text, "crash") == 0)
        __builtin_trap();
    if (strcmp(c->text, "odd") == 0)
        skep_report_warning(report, NULL, NULL, "this is odd");
}

static const char *or_none(const char *text)
{
    return text ? text : "-";
}

static int load(struct skep_module *m, void *conf, void **self, struct skep_report *report)
{
    const struct conf *c = conf;

    (void)self;
    (void)report;
    skep_log(m, SKEP_LOG_INFO,
             "flag=%d small=%u big=%llu bytes=%llu wait=%u rate=%u color=%d days=%u text=%s "
             "file=%s at=%s key=%zu/%s words=%zu",
             c->flag, c->small, (unsigned long long)c->big, (unsigned long long)c->bytes, c->wait,
             c->rate, c->color, c->days, c->text, or_none(c->file), or_none(c->at),
             c->key.value.len, or_none(c->key.source), c->words.count);
    for (size_t i = 0; i < c->header.count; i++)
        skep_log(m, SKEP_LOG_INFO, "header %s=%s", c->header.items[i].items[0],
                 c->header.items[i].items[1]);
    skep_log(m, SKEP_LOG_INFO, "inner %s wait=%u", c->inner.block.place.file ? "given" : "absent",
             c->inner.wait);
    for (size_t i = 0; i < c->part.count; i++) {
        const struct part *p = c->part.items[i];
        skep_log(m, SKEP_LOG_INFO, "part %s line=%u to=%s", p->block.label, p->block.place.line,
                 p->to);
    }
    return 0;
}

SKEP_MODULE = {
    SKEP_MODULE_HEAD("options", "1", "has an option of each type"),
    .conf_size = sizeof(struct conf),
    .options = options,
    .check = check,
    .load = load,
};
