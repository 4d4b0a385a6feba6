#include "ctl/table.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

enum { COLUMNS_MAX = 32, CELL_MAX = 256 };

/* What a module says reaches a terminal: nothing in it may move the cursor. */
static void put_text(char *out, size_t size, const char *text)
{
    size_t n = 0;

    for (; *text && n < size - 1; text++)
        out[n++] = (unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text;
    out[n] = '\0';
}

static void cell(char out[CELL_MAX], const cJSON *value)
{
    char *text;

    out[0] = '\0';
    if (!value || cJSON_IsNull(value))
        return;
    if (cJSON_IsString(value)) {
        put_text(out, CELL_MAX, value->valuestring);
    } else if (cJSON_IsBool(value)) {
        put_text(out, CELL_MAX, cJSON_IsTrue(value) ? "yes" : "no");
    } else if (cJSON_IsNumber(value) && value->valuedouble > -1e15 && value->valuedouble < 1e15) {
        bool whole = value->valuedouble == (double)(long long)value->valuedouble;
        snprintf(out, CELL_MAX, whole ? "%.0f" : "%.1f", value->valuedouble);
    } else if ((text = cJSON_PrintUnformatted(value)) != NULL) {
        put_text(out, CELL_MAX, text);
        cJSON_free(text);
    }
}

/* Characters, not bytes. */
static int width_of(const char *text)
{
    int width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

struct columns {
    const char *names[COLUMNS_MAX];
    int widths[COLUMNS_MAX];
    bool numbers[COLUMNS_MAX]; /* all of them are */
    int count;
};

static int column(struct columns *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->names[i], name) == 0)
            return i;
    if (c->count == COLUMNS_MAX)
        return -1;
    c->names[c->count] = name;
    c->widths[c->count] = width_of(name);
    c->numbers[c->count] = true;
    return c->count++;
}

static void measure(struct columns *c, const cJSON *list)
{
    const cJSON *row, *item;
    char text[CELL_MAX];

    cJSON_ArrayForEach(row, list)
    {
        cJSON_ArrayForEach(item, row)
        {
            int i = column(c, item->string);
            if (i < 0)
                continue;
            cell(text, item);
            if (width_of(text) > c->widths[i])
                c->widths[i] = width_of(text);
            c->numbers[i] &= cJSON_IsNumber(item);
        }
    }
}

static void put_cell(FILE *to, const struct columns *c, int i, const char *text)
{
    int pad = c->widths[i] - width_of(text);
    bool last = i == c->count - 1;

    if (c->numbers[i])
        fprintf(to, "%*s%s", pad, "", text);
    else
        fprintf(to, "%s%*s", text, last ? 0 : pad, "");
    fputs(last ? "\n" : "  ", to);
}

static void print_rows(FILE *to, const cJSON *list)
{
    struct columns c = {0};
    char text[CELL_MAX];
    const cJSON *row;

    measure(&c, list);
    for (int i = 0; i < c.count; i++) {
        put_text(text, sizeof text, c.names[i]);
        put_cell(to, &c, i, text);
    }
    cJSON_ArrayForEach(row, list)
    {
        for (int i = 0; i < c.count; i++) {
            cell(text, cJSON_GetObjectItemCaseSensitive(row, c.names[i]));
            put_cell(to, &c, i, text);
        }
    }
}

static bool is_rows(const cJSON *value)
{
    const cJSON *row;

    if (!cJSON_IsArray(value) || !value->child)
        return false;
    cJSON_ArrayForEach(row, value)
    {
        if (!cJSON_IsObject(row) || !row->child)
            return false;
    }
    return true;
}

void table_value(FILE *to, const cJSON *value)
{
    char text[CELL_MAX];

    if (cJSON_IsString(value) && strlen(value->valuestring) >= CELL_MAX) {
        char *whole = xmalloc(strlen(value->valuestring) + 1);
        put_text(whole, strlen(value->valuestring) + 1, value->valuestring);
        fputs(whole, to);
        free(whole);
        return;
    }
    cell(text, value);
    fputs(text, to);
}

void table_print(FILE *to, const cJSON *value)
{
    const cJSON *item;
    int width = 0;

    if (is_rows(value)) {
        print_rows(to, value);
    } else if (cJSON_IsObject(value)) {
        cJSON_ArrayForEach(item, value)
        {
            if (width_of(item->string) > width)
                width = width_of(item->string);
        }
        cJSON_ArrayForEach(item, value)
        {
            char name[CELL_MAX];
            put_text(name, sizeof name, item->string);
            if (is_rows(item)) {
                fprintf(to, "%s:\n", name);
                print_rows(to, item);
                continue;
            }
            fprintf(to, "%s:%*s", name, width - width_of(name) + 1, "");
            table_value(to, item);
            fputc('\n', to);
        }
    } else if (cJSON_IsArray(value)) {
        cJSON_ArrayForEach(item, value)
        {
            table_value(to, item);
            fputc('\n', to);
        }
    } else {
        table_value(to, value);
        fputc('\n', to);
    }
}
