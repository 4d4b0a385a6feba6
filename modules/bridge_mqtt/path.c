#include "path.h"

static bool is_path(const struct skep_user_property *p)
{
    return skep_str_eq(p->name, SKEP_STR(PATH_PROPERTY));
}

static bool holds(struct skep_str path, int way, struct skep_str id)
{
    const char *at = path.ptr, *end = at + path.len;

    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma ? comma : end;
        if (at < stop && (way == 0 || *at == way) &&
            skep_str_eq(skep_bytes(at + 1, (size_t)(stop - at) - 1), id))
            return true;
        at = stop + 1;
    }
    return false;
}

bool path_has(const struct skep_user_property *properties, size_t count, int way,
              struct skep_str id)
{
    for (size_t i = 0; i < count; i++) {
        if (is_path(&properties[i]) &&
            (properties[i].value.len > PATH_MOST || holds(properties[i].value, way, id)))
            return true;
    }
    return false;
}

size_t path_add(const struct skep_user_property *from, size_t count, enum path_way way,
                struct skep_str id, struct skep_user_property *to, struct buf *text)
{
    char sign = (char)way;
    size_t n = 0;

    buf_clear(text);
    for (size_t i = 0; i < count; i++) {
        if (!is_path(&from[i])) {
            to[n++] = from[i];
            continue;
        }
        if (buf_len(text))
            buf_put(text, ",", 1);
        buf_put(text, from[i].value.ptr, from[i].value.len);
    }
    if (buf_len(text))
        buf_put(text, ",", 1);
    buf_put(text, &sign, 1);
    buf_put(text, id.ptr, id.len);
    to[n++] = (struct skep_user_property){SKEP_STR(PATH_PROPERTY),
                                          skep_bytes(buf_data(text), buf_len(text))};
    return n;
}
