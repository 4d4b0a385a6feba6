#include "conf/lexer.h"

#include "base/utf8.h"

void lexer_init(struct lexer *l, const char *file, struct str text, struct complaints *complaints)
{
    *l = (struct lexer){.in = text, .pos = {file, 1, 1}, .complaints = complaints};
    if (str_starts(text, STR("\xef\xbb\xbf")))
        l->at = 3; /* a byte order mark from some editor */
}

static int peek(const struct lexer *l)
{
    return l->at < l->in.len ? (unsigned char)l->in.ptr[l->at] : -1;
}

static int take(struct lexer *l)
{
    int c = peek(l);

    if (c < 0)
        return c;
    l->at++;
    if (c == '\n') {
        l->pos.line++;
        l->pos.column = 1;
    } else if ((c & 0xc0) != 0x80) {
        l->pos.column++; /* continuation bytes of UTF-8 are not columns */
    }
    return c;
}

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool ends_word(int c)
{
    return c < 0 || is_space(c) || c == ';' || c == '{' || c == '}' || c == '"' || c == '\'';
}

static void skip_blank(struct lexer *l)
{
    for (;;) {
        while (is_space(peek(l)))
            take(l);
        if (peek(l) != '#')
            return;
        while (peek(l) >= 0 && peek(l) != '\n')
            take(l);
    }
}

static int hex_digit(int c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Behind a backslash: the byte meant, or -1 (complained about). */
static int take_escape(struct lexer *l, struct text_pos pos)
{
    int c = take(l), high, low;

    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case '\\':
    case '"':
        return c;
    case 'x':
        high = hex_digit(peek(l));
        if (high >= 0)
            take(l);
        low = hex_digit(peek(l));
        if (high >= 0 && low >= 0) {
            take(l);
            return high << 4 | low;
        }
        /* fall through */
    default:
        complaint_error(l->complaints, pos, "known are \\n \\t \\r \\\\ \\\" and \\xHH",
                        "unknown escape in a quoted word");
        return -1;
    }
}

/* From the opening quote on.  The unescaped text is never longer than the raw one, so the
 * copy is sized by looking ahead for the closing quote. */
static void take_quoted(struct lexer *l, struct token *t)
{
    int quote = take(l);
    size_t end = l->at;
    char *out;

    while (end < l->in.len && l->in.ptr[end] != quote)
        end += quote == '"' && l->in.ptr[end] == '\\' ? 2 : 1;
    if (end >= l->in.len) {
        complaint_error(l->complaints, t->pos, NULL, "this quote is never closed");
        l->at = l->in.len;
        t->broken = true;
        return;
    }
    out = arena_alloc(l->complaints->arena, end - l->at + 1);
    t->quoted = true;
    t->text.ptr = out;
    while (l->at < end) {
        struct text_pos pos = l->pos;
        int c = take(l);
        if (c == '\\' && quote == '"' && (c = take_escape(l, pos)) < 0)
            t->broken = true;
        else
            out[t->text.len++] = (char)c;
    }
    take(l);
    if (!ends_word(peek(l)) || peek(l) == '"' || peek(l) == '\'') {
        complaint_error(l->complaints, l->pos, NULL, "a space or ';' must follow a closing quote");
        t->broken = true;
    }
}

static void take_plain(struct lexer *l, struct token *t)
{
    size_t start = l->at;

    while (!ends_word(peek(l)))
        take(l);
    t->text = (struct str){l->in.ptr + start, l->at - start};
    if (peek(l) == '"' || peek(l) == '\'') {
        complaint_error(l->complaints, l->pos, "quote the whole word", "a quote inside a word");
        t->broken = true;
        take(l);
    }
}

/* What a word may hold; \x escapes may have produced anything but NUL ends here. */
static void check_word(struct lexer *l, struct token *t)
{
    if (t->broken)
        return;
    if (t->text.len > LEXER_WORD_MAX) {
        complaint_error(l->complaints, t->pos, NULL, "this word is longer than %d bytes",
                        LEXER_WORD_MAX);
        t->broken = true;
    } else if (memchr(t->text.ptr, '\0', t->text.len)) {
        complaint_error(l->complaints, t->pos, NULL, "this word holds a NUL character");
        t->broken = true;
    } else if (!utf8_is_valid(t->text)) {
        complaint_error(l->complaints, t->pos, NULL, "this word is not valid UTF-8");
        t->broken = true;
    }
    for (size_t i = 0; i < t->text.len && !t->quoted && !t->broken; i++)
        if ((unsigned char)t->text.ptr[i] < 0x20 || t->text.ptr[i] == 0x7f) {
            complaint_error(l->complaints, t->pos, NULL, "this word holds a control character");
            t->broken = true;
        }
}

struct token lexer_next(struct lexer *l)
{
    skip_blank(l);
    struct token t = {.pos = l->pos, .text = {"", 0}};
    int c = peek(l);

    if (c < 0) {
        t.kind = TOKEN_END;
    } else if (c == ';' || c == '{' || c == '}') {
        t.kind = c == ';' ? TOKEN_SEMICOLON : c == '{' ? TOKEN_OPEN : TOKEN_CLOSE;
        take(l);
    } else {
        t.kind = TOKEN_WORD;
        if (c == '"' || c == '\'')
            take_quoted(l, &t);
        else
            take_plain(l, &t);
        check_word(l, &t);
    }
    return t;
}
