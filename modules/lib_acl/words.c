#include "words.h"

void words_init(struct words *w, struct skep_str text, struct faults *faults)
{
    w->rest = text;
    w->line = 1;
    w->line_start = text.ptr;
    w->faults = faults;
    w->count = 0;
}

static void skip(struct words *w, size_t n)
{
    w->rest = skep_bytes(w->rest.ptr + n, w->rest.len - n);
}

static void newline(struct words *w)
{
    skip(w, 1);
    w->line++;
    w->line_start = w->rest.ptr;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void skip_line(struct words *w)
{
    const char *end = memchr(w->rest.ptr, '\n', w->rest.len);

    skip(w, end ? (size_t)(end - w->rest.ptr) : w->rest.len);
}

/* White space, and comments where `comments` says that they may be. */
static void skip_space(struct words *w, bool comments)
{
    while (w->rest.len) {
        char c = w->rest.ptr[0];

        if (c == '\n')
            newline(w);
        else if (is_space(c))
            skip(w, 1);
        else if (c == '#' && comments)
            skip_line(w);
        else
            return;
    }
}

static struct word here(const struct words *w)
{
    return (struct word){.text = skep_bytes(w->rest.ptr, 0),
                         .line = w->line,
                         .column = (unsigned)(w->rest.ptr - w->line_start) + 1};
}

static size_t plain_length(struct skep_str text)
{
    size_t n = 0;

    while (n < text.len && !is_space(text.ptr[n]) && !memchr(";{}", text.ptr[n], 3)) {
        if (text.ptr[n] == '%' && n + 1 < text.len && text.ptr[n + 1] == '{') {
            const char *end = memchr(text.ptr + n, '}', text.len - n);

            if (end && !memchr(text.ptr + n, '\n', (size_t)(end - text.ptr) - n))
                n = (size_t)(end - text.ptr);
        }
        n++;
    }
    return n;
}

static bool quoted(struct words *w, struct word *word)
{
    const char *end = memchr(w->rest.ptr + 1, w->rest.ptr[0], w->rest.len - 1);
    size_t len = end ? (size_t)(end - w->rest.ptr) : 0;

    if (!end || memchr(w->rest.ptr, '\n', len)) {
        faults_error(w->faults, word->line, word->column, NULL,
                     "the quote is not closed on this line");
        return false;
    }
    word->quoted = true;
    word->text = skep_bytes(w->rest.ptr + 1, len - 1);
    skip(w, len + 1);
    return true;
}

static bool take(struct words *w)
{
    struct word word = here(w);

    if (w->rest.ptr[0] == '"' || w->rest.ptr[0] == '\'') {
        if (!quoted(w, &word))
            return false;
    } else {
        word.text.len = plain_length(w->rest);
        skip(w, word.text.len);
    }
    if (w->count == WORDS_MAX) {
        faults_error(w->faults, word.line, word.column, "make it several",
                     "%d words in one statement", WORDS_MAX);
        return false;
    }
    w->list[w->count++] = word;
    return true;
}

static enum statement_end recover(struct words *w)
{
    while (w->rest.len && w->rest.ptr[0] != ';') {
        if (w->rest.ptr[0] == '\n')
            newline(w);
        else
            skip(w, 1);
    }
    if (w->rest.len)
        skip(w, 1);
    w->count = 0;
    return END_FAULT;
}

enum statement_end words_next(struct words *w)
{
    w->count = 0;
    for (;;) {
        char c;

        skip_space(w, w->count == 0);
        w->end = here(w);
        if (w->rest.len == 0)
            return END_FILE;
        c = w->rest.ptr[0];
        if (c == ';' || c == '{' || c == '}') {
            /* A } closes nothing in the middle of a statement, and is left where it is. */
            if (c != '}' || w->count == 0)
                skip(w, 1);
            return c == ';' ? END_SEMICOLON : c == '{' ? END_OPEN : END_CLOSE;
        }
        if (!take(w))
            return recover(w);
    }
}
