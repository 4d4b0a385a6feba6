#include "store/export.h"

#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/octets.h"

bool export_meta_is_own(struct str name)
{
    static const char *const own[] = {"version", "applied", "marks", TABLES_META_BACKUP};

    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (str_eq(name, str_of(own[i])))
            return true;
    }
    return false;
}

struct walk {
    export_message_fn *message;
    export_meta_fn *meta;
    void *arg;
    int result; /* of the callback, if it ended the walk */
};

static int each_message(void *arg, struct str key, struct str value, bool *remove)
{
    struct walk *w = arg;
    struct record_message m;

    if (key.len != 9)
        return ERR_DAMAGED;
    if (key.ptr[8] != 0) /* how many entries share it */
        return 0;
    if (record_message_get(value, &m) < 0)
        return ERR_DAMAGED;
    return w->result = w->message(w->arg, key_get_u64(key, 0), &m);
}

static int each_meta(void *arg, struct str key, struct str value, bool *remove)
{
    struct walk *w = arg;

    if (export_meta_is_own(key))
        return 0;
    if (value.len != 8)
        return ERR_DAMAGED;
    return w->result = w->meta(w->arg, key, get_u64((const uint8_t *)value.ptr));
}

static int walk_table(struct tables *t, enum table table, tables_each_fn *each, struct walk *w,
                      char *why, size_t why_size)
{
    struct tables_txn *txn;
    int err = tables_begin(t, false, &txn);

    if (!err) {
        err = tables_each(txn, table, STR_NONE, each, w);
        tables_abort(&txn);
    }
    if (err && !w->result)
        snprintf(why, why_size, "the checkpoint cannot be read: %s",
                 *tables_why() ? tables_why() : err_text(err));
    return err;
}

int export_messages(struct tables *t, export_message_fn *fn, void *arg, char *why, size_t why_size)
{
    struct walk w = {.message = fn, .arg = arg};
    return walk_table(t, TABLE_MESSAGES, each_message, &w, why, why_size);
}

int export_meta(struct tables *t, export_meta_fn *fn, void *arg, char *why, size_t why_size)
{
    struct walk w = {.meta = fn, .arg = arg};
    return walk_table(t, TABLE_META, each_meta, &w, why, why_size);
}
