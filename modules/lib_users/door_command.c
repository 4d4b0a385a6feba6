/* `skepctl module call NAME bans | unban WORD | status`. */
#include <skep/command.h>
#include <skep/loop.h>
#include <stdio.h>
#include <stdlib.h>

#include "door_impl.h"

/* A JSON string; names are UTF-8 already (MQTT sees to that). */
static void json_text(FILE *to, const char *text)
{
    fputc('"', to);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            fprintf(to, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(to, "\\u%04x", c);
        else
            fputc(c, to);
    }
    fputc('"', to);
}

struct listing {
    FILE *to;
    unsigned count;
    bool all; /* failures too */
};

static void list_one(const struct guard_entry *e, void *arg)
{
    struct listing *l = arg;

    if (!l->all && !e->banned_for_ms)
        return;
    fputs(l->count++ ? "," : "", l->to);
    fputs("{\"address\":", l->to);
    json_text(l->to, e->host[0] ? e->host : "*");
    fputs(",\"user\":", l->to);
    json_text(l->to, e->user[0] ? e->user : "*");
    fprintf(l->to, ",\"failures\":%u,\"banned_for_s\":%llu}", e->failures,
            (unsigned long long)(e->banned_for_ms + 999) / 1000);
}

static void count_one(const struct guard_entry *e, void *arg)
{
    struct listing *l = arg;

    l->count += e->banned_for_ms != 0;
}

static void answer(struct skep_command *c, FILE *to, char **text, size_t *len)
{
    if (fclose(to) == 0)
        skep_command_answer(c, skep_bytes(*text, *len));
    else
        skep_command_fail(c, "out of memory");
    free(*text);
}

static void bans(struct door *d, struct skep_command *c, bool all)
{
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    struct listing listing = {.to = to, .all = all};

    if (!to) {
        skep_command_fail(c, "out of memory");
        return;
    }
    fputc('[', to);
    guard_each(atomic_load(&d->guard), skep_now_ms(), list_one, &listing);
    fputc(']', to);
    answer(c, to, &text, &len);
}

static void unban(struct door *d, struct skep_command *c)
{
    struct skep_str word = skep_command_word(c, 1);
    char text[64], shown[80];
    unsigned ended;
    int len;

    if (skep_command_words(c) != 2) {
        skep_command_fail(c, "unban wants one address or user name, or * for all");
        return;
    }
    ended = guard_forget(atomic_load(&d->guard), skep_now_ms(), word);
    skep_log(d->m, SKEP_LOG_INFO, "unban %s: %u bans ended", printable(shown, sizeof shown, word),
             ended);
    len = snprintf(text, sizeof text, "{\"ended\":%u}", ended);
    skep_command_answer(c, skep_bytes(text, (size_t)len));
}

static void status(struct door *d, struct skep_command *c)
{
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    struct listing listing = {0};

    if (!to) {
        skep_command_fail(c, "out of memory");
        return;
    }
    guard_each(atomic_load(&d->guard), skep_now_ms(), count_one, &listing);
    fputs("{\"file\":", to);
    json_text(to, d->conf->file);
    fprintf(to, ",\"users\":%zu,\"loaded_at_ms\":%llu,\"stale\":%s,\"bans\":%u}",
            users_count(door_users(d)), (unsigned long long)live_loaded_at_ms(d->file),
            live_is_stale(d->file) ? "true" : "false", listing.count);
    answer(c, to, &text, &len);
}

void door_command(struct door *d, struct skep_command *c)
{
    struct skep_str word = skep_command_word(c, 0);

    if (skep_str_eq(word, SKEP_STR("bans")))
        bans(d, c, false);
    else if (skep_str_eq(word, SKEP_STR("failures")))
        bans(d, c, true);
    else if (skep_str_eq(word, SKEP_STR("unban")))
        unban(d, c);
    else if (skep_str_eq(word, SKEP_STR("status")))
        status(d, c);
    else
        skep_command_fail(c, "the commands are: bans, failures, unban ADDRESS|USER|*, status");
}
